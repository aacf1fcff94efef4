{{/* The views of the relational schema. */}}

{{define "ulog2"}}ulog2._id, {{template "ulog-head"}}, ulog2.ip_saddr, ulog2.ip_daddr, {{template "ulog-ip"}}, ulog2.label, ulog2.mac_id, ulog2.timestamp{{end}}

{{define "ulog-select"}}select ulog2._id, {{template "ulog-head"}},
  ulog2.ip_saddr as ip_saddr_bin, ulog2.ip_daddr as ip_daddr_bin, {{template "ulog-ip"}},
  tcp.tcp_sport, tcp.tcp_dport, tcp.tcp_seq, tcp.tcp_ackseq, tcp.tcp_window, tcp.tcp_urg, tcp.tcp_urgp,
  tcp.tcp_ack, tcp.tcp_psh, tcp.tcp_rst, tcp.tcp_syn, tcp.tcp_fin, udp.udp_sport, udp.udp_dport, udp.udp_len,
  icmp.icmp_type, icmp.icmp_code, icmp.icmp_echoid, icmp.icmp_echoseq, icmp.icmp_gateway, icmp.icmp_fragmtu,
  icmpv6.icmpv6_type, icmpv6.icmpv6_code, icmpv6.icmpv6_echoid, icmpv6.icmpv6_echoseq, icmpv6.icmpv6_csum,
  hwhdr.raw_type, hwhdr.raw_header as mac_str, mac.mac_saddr as mac_saddr_str, mac.mac_daddr as mac_daddr_str,
  mac.mac_protocol as oob_protocol, ulog2.label as raw_label, sctp.sctp_sport, sctp.sctp_dport, sctp.sctp_csum{{end}}

{{define "ulog-from"}}from ulog2 left join tcp on ulog2._id = tcp._tcp_id left join udp on ulog2._id = udp._udp_id
  left join icmp on ulog2._id = icmp._icmp_id left join icmpv6 on ulog2._id = icmpv6._icmpv6_id
  left join sctp on ulog2._id = sctp._sctp_id left join hwhdr on ulog2._id = hwhdr._hw_id
  left join mac on ulog2.mac_id = mac._mac_id{{end}}

{{define "v2-views"}}
create sql security invoker view ulog as {{template "ulog-select"}}
{{template "ulog-from"}};

{{if .Host}}
create sql security invoker view ulog_host as {{template "ulog-select"}}, ulog2.local_hostname
{{template "ulog-from"}};
{{end}}

create sql security invoker view nulog as select {{template "ulog2"}}, tcp.*, udp.*, icmp.*, mac.*, nufw.*, state_t.*
from ulog2 left join tcp on ulog2._id = tcp._tcp_id left join udp on ulog2._id = udp._udp_id
  left join icmp on ulog2._id = icmp._icmp_id left join mac on ulog2.mac_id = mac._mac_id
  left join nufw on ulog2._id = nufw._nufw_id left join state_t on ulog2._id = state_t._state_id;

create sql security invoker view view_tcp as select {{template "ulog2"}}, tcp.* from ulog2 join tcp on ulog2._id = tcp._tcp_id;

create sql security invoker view view_udp as select {{template "ulog2"}}, udp.* from ulog2 join udp on ulog2._id = udp._udp_id;

create sql security invoker view view_icmp as select {{template "ulog2"}}, icmp.* from ulog2 join icmp on ulog2._id = icmp._icmp_id;

create sql security invoker view view_icmpv6 as select {{template "ulog2"}}, icmpv6.* from ulog2 join icmpv6 on ulog2._id = icmpv6._icmpv6_id;

create sql security invoker view view_nufw as select {{template "ulog2"}}, nufw.* from ulog2 join nufw on ulog2._id = nufw._nufw_id;

create sql security invoker view view_tcp_quad as select ulog2._id, BIN_TO_IPV6(ulog2.ip_saddr) as ip_saddr_str, tcp.tcp_sport,
  BIN_TO_IPV6(ulog2.ip_daddr) as ip_daddr_str, tcp.tcp_dport
from ulog2 join tcp on ulog2._id = tcp._tcp_id;

create sql security invoker view view_udp_quad as select ulog2._id, BIN_TO_IPV6(ulog2.ip_saddr) as ip_saddr_str, udp.udp_sport,
  BIN_TO_IPV6(ulog2.ip_daddr) as ip_daddr_str, udp.udp_dport
from ulog2 join udp on ulog2._id = udp._udp_id;

{{if .V1Views}}
-- IPv4 packets as the schema v1 has them.
create sql security invoker view ulog_v1 as select ulog2._id as id,
  coalesce(hwhdr.raw_header, concat(mac.mac_daddr, ':', mac.mac_saddr, ':', {{template "ethertype" "mac.mac_protocol"}})) as raw_mac,
  {{template "v1-head"}}, {{template "v1-addresses" ""}}, {{template "v1-ip"}}, {{template "v1-rest" .}}
{{template "ulog-from"}}
where ulog2.oob_family = 2 or ulog2.oob_family = 7 and mac.mac_protocol = 2048 or ulog2.oob_family is null;
{{end}}
{{end}}

{{define "ethertype"}}lower(concat(lpad(hex({{.}} div 256), 2, '0'), ':', lpad(hex({{.}} mod 256), 2, '0'))){{end}}

{{define "v1-head"}}oob_time_sec, oob_time_usec, oob_prefix, oob_mark, oob_in, oob_out{{end}}

{{define "v1-addresses"}}cast(conv(hex(right(ip_saddr{{.}}, 4)), 16, 10) as unsigned) as ip_saddr,
  cast(conv(hex(right(ip_daddr{{.}}, 4)), 16, 10) as unsigned) as ip_daddr{{end}}

{{define "v1-ip"}}ip_protocol, ip_tos, ip_ttl, ip_totlen, ip_ihl, ip_csum, ip_id, ip_fragoff{{end}}

{{define "v1-rest"}}tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_window,
  tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin, udp_sport, udp_dport, udp_len,
  icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu,
  cast(null as char(30)) as pwsniff_user, cast(null as char(30)) as pwsniff_pass, cast(null as unsigned) as ahesp_spi
{{- if .Host}}, ulog2.local_hostname{{end}}{{end}}
