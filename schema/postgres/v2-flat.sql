{{/* The flat schema: one table with all of a packet. */}}
{{template "tables" .}}

-- Packets, one row each.
create table ulog2 (
  _id bigint not null default nextval('ulog2__id_seq'),
  {{template "packet"}},
  raw_label smallint,
  mac_saddr_str macaddr,
  mac_daddr_str macaddr,
  oob_protocol integer,
  raw_type integer,
  mac_str varchar(256),
  {{template "tcp"}},
  {{template "udp"}},
  {{template "sctp"}},
  {{template "icmp"}},
  {{template "icmpv6"}}
{{- if .Host}},
  local_hostname varchar(255)
{{- end}}
{{- if not .Daily}},
  primary key (_id)
{{- end}}
){{if .Daily}} partition by range (oob_time_sec){{end}};

{{if .Daily}}
create unique index ulog2_id on ulog2 (_id, oob_time_sec);
{{end}}

create index ulog2_oob_time_sec on ulog2 (oob_time_sec);

create index ulog2_ip_saddr on ulog2 (ip_saddr_str);

create index ulog2_ip_daddr on ulog2 (ip_daddr_str);

create index mac_saddr on ulog2 (mac_saddr_str);

create index tcp_dport on ulog2 (tcp_dport);

create index udp_dport on ulog2 (udp_dport);

{{if .Host}}
create index ulog2_host on ulog2 (local_hostname, oob_time_sec);
{{end}}

{{if .Daily}}{{template "days" .Of "ulog2"}}{{end}}

{{template "extensions" .}}

{{template "flows" .}}

create view ulog as {{template "flat-select"}} from ulog2;

{{if .Host}}
create view ulog_host as {{template "flat-select"}}, local_hostname from ulog2;
{{end}}

create view view_tcp as select {{template "flat"}} from ulog2 where ip_protocol = 6;

create view view_udp as select {{template "flat"}} from ulog2 where ip_protocol = 17;

create view view_icmp as select {{template "flat"}} from ulog2 where ip_protocol = 1;

create view view_icmpv6 as select {{template "flat"}} from ulog2 where ip_protocol = 58;

create view view_nufw as select {{template "flat"}}, nufw.* from ulog2 join nufw on ulog2._id = nufw._nufw_id;

create view view_tcp_quad as select _id, ip_saddr_str, tcp_sport, ip_daddr_str, tcp_dport from ulog2 where ip_protocol = 6;

create view view_udp_quad as select _id, ip_saddr_str, udp_sport, ip_daddr_str, udp_dport from ulog2 where ip_protocol = 17;

{{if .V1Views}}
-- IPv4 packets as the schema v1 has them.
create view ulog_v1 as select _id as id, oob_prefix, oob_time_sec, oob_time_usec, oob_mark, oob_in, oob_out,
  mac_str as raw_mac, cast(null as bigint) as raw_pktlen, {{template "v1-columns" .}}
from ulog2
where oob_family = 2 or oob_family = 7 and oob_protocol = 2048 or oob_family is null;
{{end}}

create function delete_packet(_packet_id bigint) returns void as $$
  delete from nufw where _nufw_id = $1;
  delete from ulog2 where _id = $1;
$$ language sql;

{{define "flat"}}{{template "ulog-head"}}, raw_label, mac_saddr_str, mac_daddr_str, oob_protocol, raw_type, mac_str,
  {{template "tcp-columns"}}, udp_sport, udp_dport, udp_len, sctp_sport, sctp_dport, sctp_csum, {{template "icmp-columns"}}{{end}}

{{define "flat-select"}}select {{template "ulog-head"}}, {{template "tcp-columns"}}, udp_sport, udp_dport, udp_len, {{template "icmp-columns"}},
  raw_type, mac_str, mac_saddr_str, mac_daddr_str, oob_protocol, raw_label, sctp_sport, sctp_dport, sctp_csum{{end}}
