{{/* The flat schema: one table with all of a packet. */}}
{{define "flat"}}ulog2._id, {{template "ulog-head"}}, ulog2.ip_saddr_bin, ulog2.ip_daddr_bin, {{template "ulog-ip"}},
  ulog2.raw_label, ulog2.mac_saddr_str, ulog2.mac_daddr_str, ulog2.oob_protocol, ulog2.raw_type, ulog2.mac_str, {{template "flat-tcp"}},
  ulog2.sctp_sport, ulog2.sctp_dport, ulog2.sctp_csum, {{template "flat-icmp"}}{{end}}

{{define "flat-tcp"}}tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_window, tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin,
  udp_sport, udp_dport, udp_len{{end}}

{{define "flat-icmp"}}icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu,
  icmpv6_type, icmpv6_code, icmpv6_echoid, icmpv6_echoseq, icmpv6_csum{{end}}

{{template "tables" .}}

-- Packets, one row each.
create table ulog2 (
  _id bigint unsigned not null auto_increment,
  {{template "packet" "_bin"}},
  raw_label tinyint unsigned,
  mac_saddr_str varchar(32),
  mac_daddr_str varchar(32),
  oob_protocol smallint unsigned,
  raw_type int unsigned,
  mac_str varchar(255),
  {{template "tcp"}},
  {{template "udp"}},
  {{template "sctp"}},
  {{template "icmp"}},
  {{template "icmpv6"}},
{{- if .Host}}
  local_hostname varchar(255),
  key host_time (local_hostname, oob_time_sec),
{{- end}}
  {{template "key" .}},
  key oob_time_sec (oob_time_sec),
  key ip_saddr (ip_saddr_bin),
  key ip_daddr (ip_daddr_bin),
  key mac_saddr (mac_saddr_str),
  key tcp_dport (tcp_dport),
  key udp_dport (udp_dport)
) {{template "options"}}{{if .Daily}}
{{template "days" .}}{{end}};

{{template "extensions" .}}

{{template "flows" .}}

{{template "addresses" .}}

create sql security invoker view ulog as select ulog2._id, {{template "ulog-head"}}, ulog2.ip_saddr_bin, ulog2.ip_daddr_bin, {{template "ulog-ip"}},
  {{template "flat-tcp"}}, {{template "flat-icmp"}},
  raw_type, mac_str, mac_saddr_str, mac_daddr_str, oob_protocol, raw_label, sctp_sport, sctp_dport, sctp_csum
from ulog2;

{{if .Host}}
create sql security invoker view ulog_host as select ulog2._id, {{template "ulog-head"}}, ulog2.ip_saddr_bin, ulog2.ip_daddr_bin, {{template "ulog-ip"}},
  {{template "flat-tcp"}}, {{template "flat-icmp"}},
  raw_type, mac_str, mac_saddr_str, mac_daddr_str, oob_protocol, raw_label, sctp_sport, sctp_dport, sctp_csum, local_hostname
from ulog2;
{{end}}

create sql security invoker view nulog as select {{template "flat"}}, nufw.*, state_t.*
from ulog2 left join nufw on ulog2._id = nufw._nufw_id left join state_t on ulog2._id = state_t._state_id;

create sql security invoker view view_tcp as select {{template "flat"}} from ulog2 where ulog2.ip_protocol = 6;

create sql security invoker view view_udp as select {{template "flat"}} from ulog2 where ulog2.ip_protocol = 17;

create sql security invoker view view_icmp as select {{template "flat"}} from ulog2 where ulog2.ip_protocol = 1;

create sql security invoker view view_icmpv6 as select {{template "flat"}} from ulog2 where ulog2.ip_protocol = 58;

create sql security invoker view view_nufw as select {{template "flat"}}, nufw.* from ulog2 join nufw on ulog2._id = nufw._nufw_id;

create sql security invoker view view_tcp_quad as select _id, BIN_TO_IPV6(ip_saddr_bin) as ip_saddr_str, tcp_sport,
  BIN_TO_IPV6(ip_daddr_bin) as ip_daddr_str, tcp_dport
from ulog2 where ip_protocol = 6;

create sql security invoker view view_udp_quad as select _id, BIN_TO_IPV6(ip_saddr_bin) as ip_saddr_str, udp_sport,
  BIN_TO_IPV6(ip_daddr_bin) as ip_daddr_str, udp_dport
from ulog2 where ip_protocol = 17;

{{if .V1Views}}
-- IPv4 packets as the schema v1 has them.
create sql security invoker view ulog_v1 as select _id as id, mac_str as raw_mac, {{template "v1-head"}},
  {{template "v1-addresses" "_bin"}}, {{template "v1-ip"}}, {{template "v1-rest" .}}
from ulog2
where oob_family = 2 or oob_family = 7 and oob_protocol = 2048 or oob_family is null;
{{end}}

create procedure DELETE_PACKET(_packet_id bigint unsigned)
modifies sql data sql security invoker
begin
  delete from nufw where _nufw_id = _packet_id;
  delete from state_t where _state_id = _packet_id;
  delete from ulog2 where ulog2._id = _packet_id;
end;
