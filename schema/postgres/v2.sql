{{/* The relational schema: a table for each protocol. */}}
{{template "tables" .}}

create sequence mac__id_seq;

create table mac (
  _mac_id bigint primary key default nextval('mac__id_seq'),
  mac_saddr macaddr not null,
  mac_daddr macaddr,
  mac_protocol integer,
  constraint unique_mac unique (mac_saddr, mac_daddr, mac_protocol)
);

-- Packets, one row each.
create table ulog2 (
  _id bigint not null default nextval('ulog2__id_seq'),
  {{template "packet"}},
  label smallint,
  mac_id bigint constraint mac_id_fk references mac (_mac_id),
  timestamp timestamp without time zone not null default now()
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

create index ulog2_mac_id on ulog2 (mac_id);

create index ulog2_timestamp on ulog2 (timestamp);

{{if .Host}}
create index ulog2_host on ulog2 (local_hostname, oob_time_sec);
{{end}}

{{if .Daily}}{{template "days" .Of "ulog2"}}{{end}}

-- Headers that are not of Ethernet.
create table hwhdr (
  _hw_id bigint primary key,
  raw_type integer,
  raw_header varchar(256)
);

create index raw_type on hwhdr (raw_type);

create table tcp (
  _tcp_id bigint primary key{{if not .Daily}} constraint tcp_id_fk references ulog2 (_id){{end}},
  {{template "tcp"}}
);

create index tcp_sport on tcp (tcp_sport);

create index tcp_dport on tcp (tcp_dport);

create table udp (
  _udp_id bigint primary key{{if not .Daily}} constraint udp_id_fk references ulog2 (_id){{end}},
  {{template "udp"}}
);

create index udp_sport on udp (udp_sport);

create index udp_dport on udp (udp_dport);

create table sctp (
  _sctp_id bigint primary key{{if not .Daily}} constraint sctp_id_fk references ulog2 (_id){{end}},
  {{template "sctp"}}
);

create index sctp_sport on sctp (sctp_sport);

create index sctp_dport on sctp (sctp_dport);

create table icmp (
  _icmp_id bigint primary key{{if not .Daily}} constraint icmp_id_fk references ulog2 (_id){{end}},
  {{template "icmp"}}
);

create table icmpv6 (
  _icmpv6_id bigint primary key{{if not .Daily}} constraint icmpv6_id_fk references ulog2 (_id){{end}},
  {{template "icmpv6"}}
);

{{template "extensions" .}}

{{template "flows" .}}

create view ulog as {{template "ulog-select"}}
{{template "ulog-from"}};

{{if .Host}}
create view ulog_host as {{template "ulog-select"}}, ulog2.local_hostname
{{template "ulog-from"}};
{{end}}

create view view_tcp as select {{template "ulog2"}}, tcp.* from ulog2 join tcp on ulog2._id = tcp._tcp_id;

create view view_udp as select {{template "ulog2"}}, udp.* from ulog2 join udp on ulog2._id = udp._udp_id;

create view view_icmp as select {{template "ulog2"}}, icmp.* from ulog2 join icmp on ulog2._id = icmp._icmp_id;

create view view_icmpv6 as select {{template "ulog2"}}, icmpv6.* from ulog2 join icmpv6 on ulog2._id = icmpv6._icmpv6_id;

create view view_nufw as select {{template "ulog2"}}, nufw.* from ulog2 join nufw on ulog2._id = nufw._nufw_id;

create view view_tcp_quad as select ulog2._id, ulog2.ip_saddr_str, tcp.tcp_sport, ulog2.ip_daddr_str, tcp.tcp_dport
from ulog2 join tcp on ulog2._id = tcp._tcp_id;

create view view_udp_quad as select ulog2._id, ulog2.ip_saddr_str, udp.udp_sport, ulog2.ip_daddr_str, udp.udp_dport
from ulog2 join udp on ulog2._id = udp._udp_id;

{{if .V1Views}}
-- IPv4 packets as the schema v1 has them.
create view ulog_v1 as select ulog2._id as id, oob_prefix, oob_time_sec, oob_time_usec, oob_mark, oob_in, oob_out,
  coalesce(hwhdr.raw_header, mac.mac_daddr::text || ':' || mac.mac_saddr::text || ':' || lpad(to_hex(mac.mac_protocol / 256), 2, '0')
    || ':' || lpad(to_hex(mac.mac_protocol % 256), 2, '0')) as raw_mac,
  cast(null as bigint) as raw_pktlen, {{template "v1-columns" .}}
{{template "ulog-from"}}
where ulog2.oob_family = 2 or ulog2.oob_family = 7 and mac.mac_protocol = 2048 or ulog2.oob_family is null;
{{end}}

{{template "v2-routines" .}}

{{define "ulog2"}}{{template "ulog-head"}}, ulog2.label, ulog2.mac_id, ulog2.timestamp{{end}}

{{define "ulog-select"}}select {{template "ulog-head"}}, {{template "tcp-columns"}},
  udp_sport, udp_dport, udp_len, {{template "icmp-columns"}},
  hwhdr.raw_type, hwhdr.raw_header as mac_str, mac.mac_saddr as mac_saddr_str, mac.mac_daddr as mac_daddr_str,
  mac.mac_protocol as oob_protocol, ulog2.label as raw_label, sctp_sport, sctp_dport, sctp_csum{{end}}

{{define "ulog-from"}}from ulog2 left join tcp on ulog2._id = tcp._tcp_id left join udp on ulog2._id = udp._udp_id
  left join icmp on ulog2._id = icmp._icmp_id left join icmpv6 on ulog2._id = icmpv6._icmpv6_id
  left join sctp on ulog2._id = sctp._sctp_id left join hwhdr on ulog2._id = hwhdr._hw_id
  left join mac on ulog2.mac_id = mac._mac_id{{end}}
