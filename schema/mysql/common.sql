{{/* What the schemas for MySQL and MariaDB have in common. */}}

{{define "options"}}engine=InnoDB default character set utf8mb4{{end}}

{{define "days"}}partition by range (oob_time_sec) (
  partition pnull values less than (1),
{{- range .Days}}
  partition {{.Name}} values less than ({{.To}}),
{{- end}}
  partition pmax values less than maxvalue
){{end}}

{{/* A number of our own, which has to be in one key with the column of the partitions. */}}
{{define "key"}}{{if .Daily}}unique key key_id (_id, oob_time_sec){{else}}primary key (_id){{end}}{{end}}

{{/* The argument is what the names of the addresses end in. */}}
{{define "packet"}}oob_time_sec int unsigned,
  oob_time_usec int unsigned,
  oob_hook tinyint unsigned,
  oob_prefix varchar(128),
  oob_mark int unsigned,
  oob_in varchar(32),
  oob_out varchar(32),
  oob_family tinyint unsigned,
  ip_saddr{{.}} binary(16),
  ip_daddr{{.}} binary(16),
  ip_protocol tinyint unsigned,
  ip_tos tinyint unsigned,
  ip_ttl tinyint unsigned,
  ip_totlen smallint unsigned,
  ip_ihl tinyint unsigned,
  ip_csum smallint unsigned,
  ip_id smallint unsigned,
  ip_fragoff smallint unsigned,
  ip6_payloadlen smallint unsigned,
  ip6_priority tinyint unsigned,
  ip6_hoplimit tinyint unsigned,
  ip6_flowlabel int,
  ip6_fragoff smallint unsigned,
  ip6_fragid int unsigned{{end}}

{{define "tcp"}}tcp_sport int unsigned,
  tcp_dport int unsigned,
  tcp_seq int unsigned,
  tcp_ackseq int unsigned,
  tcp_window int unsigned,
  tcp_urg tinyint,
  tcp_urgp int unsigned,
  tcp_ack tinyint,
  tcp_psh tinyint,
  tcp_rst tinyint,
  tcp_syn tinyint,
  tcp_fin tinyint{{end}}

{{define "udp"}}udp_sport int unsigned,
  udp_dport int unsigned,
  udp_len int unsigned{{end}}

{{define "sctp"}}sctp_sport int unsigned,
  sctp_dport int unsigned,
  sctp_csum int unsigned{{end}}

{{define "icmp"}}icmp_type tinyint unsigned,
  icmp_code tinyint unsigned,
  icmp_echoid smallint unsigned,
  icmp_echoseq smallint unsigned,
  icmp_gateway int unsigned,
  icmp_fragmtu smallint unsigned{{end}}

{{define "icmpv6"}}icmpv6_type tinyint unsigned,
  icmpv6_code tinyint unsigned,
  icmpv6_echoid smallint unsigned,
  icmpv6_echoseq smallint unsigned,
  icmpv6_csum int unsigned{{end}}

{{/* Tables of all versions 2, but for the packets. */}}
{{define "tables"}}
create table _format (
  version int not null
) {{template "options"}} comment='{{.Mark}}';

insert into _format (version) values ({{if eq .Version "v2"}}6{{else}}1{{end}});

create table _extensions (
  ext_id int unsigned not null auto_increment,
  ext_name varchar(64) not null,
  table_name varchar(64) not null,
  join_name varchar(64) not null,
  primary key (ext_id)
) {{template "options"}};

insert into _extensions (ext_name, table_name, join_name) values ('state', 'state_t', '_state_id'), ('nufw', 'nufw', '_nufw_id');

create table ip_proto (
  _proto_id int unsigned not null,
  proto_name varchar(16),
  proto_desc varchar(255),
  primary key (_proto_id)
) {{template "options"}};

insert into ip_proto (_proto_id, proto_name, proto_desc) values
{{template "protocols"}};
{{end}}

{{/* Tables that belong to the packets. */}}
{{define "extensions"}}
create table state_t (
  _state_id bigint unsigned not null,
  state tinyint unsigned,
  primary key (_state_id),
  key state (state)
{{- if not .Daily}},
  constraint _state_id foreign key (_state_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

create table nufw (
  _nufw_id bigint unsigned not null,
  username varchar(30),
  user_id int unsigned,
  client_os varchar(100),
  client_app varchar(256),
  primary key (_nufw_id),
  key user_id (user_id)
{{- if not .Daily}},
  constraint _nufw_id foreign key (_nufw_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

-- The socket is not stored: nufw has no column for it.
create procedure PACKET_ADD_NUFW(id bigint unsigned, username varchar(30) character set utf8mb4, user_id int unsigned,
  client_os varchar(100) character set utf8mb4, client_app varchar(256) character set utf8mb4, socket smallint)
modifies sql data
insert into nufw (_nufw_id, username, user_id, client_os, client_app) values (id, username, user_id, client_os, client_app);
{{end}}

{{define "addresses"}}
create function BIN_TO_IPV6(_in binary(16)) returns varchar(64) character set utf8mb4
deterministic no sql sql security invoker
return case
  when _in is null then null
  when hex(left(_in, 12)) = '00000000000000000000FFFF' then
    concat('::ffff:', ord(substr(_in, 13, 1)), '.', ord(substr(_in, 14, 1)), '.', ord(substr(_in, 15, 1)), '.', ord(substr(_in, 16, 1)))
  else lower(concat_ws(':', hex(substr(_in, 1, 2)), hex(substr(_in, 3, 2)), hex(substr(_in, 5, 2)), hex(substr(_in, 7, 2)),
    hex(substr(_in, 9, 2)), hex(substr(_in, 11, 2)), hex(substr(_in, 13, 2)), hex(substr(_in, 15, 2))))
end;
{{end}}

{{define "flows"}}
-- Connections, one row for each event.
create table ulog2_ct (
  _ct_id bigint unsigned not null auto_increment,
  oob_family tinyint unsigned,
  orig_ip_saddr binary(16),
  orig_ip_daddr binary(16),
  orig_ip_protocol tinyint unsigned,
  orig_l4_sport int,
  orig_l4_dport int,
  orig_bytes bigint default 0,
  orig_packets bigint default 0,
  reply_ip_saddr binary(16),
  reply_ip_daddr binary(16),
  reply_ip_protocol tinyint unsigned,
  reply_l4_sport int,
  reply_l4_dport int,
  reply_bytes bigint default 0,
  reply_packets bigint default 0,
  icmp_code smallint,
  icmp_type smallint,
  ct_mark bigint default 0,
  flow_start_sec bigint default 0,
  flow_start_usec int default 0,
  flow_end_sec bigint default 0,
  flow_end_usec int default 0,
  state tinyint unsigned default 0,
{{- if .Host}}
  local_hostname varchar(255),
  key host_time (local_hostname, flow_start_sec),
{{- end}}
  primary key (_ct_id),
  key orig_tuple (orig_ip_saddr, orig_ip_daddr, orig_ip_protocol, orig_l4_sport, orig_l4_dport),
  key reply_tuple (reply_ip_saddr, reply_ip_daddr, reply_ip_protocol, reply_l4_sport, reply_l4_dport),
  key orig_ip_daddr (orig_ip_daddr),
  key reply_ip_daddr (reply_ip_daddr),
  key flow_start_sec (flow_start_sec),
  key flow_end_sec (flow_end_sec)
) {{template "options"}};

create sql security invoker view conntrack as select _ct_id, oob_family, orig_ip_saddr as orig_ip_saddr_bin, orig_ip_daddr as orig_ip_daddr_bin,
  orig_ip_protocol, orig_l4_sport, orig_l4_dport, orig_bytes as orig_raw_pktlen, orig_packets as orig_raw_pktcount,
  reply_ip_saddr as reply_ip_saddr_bin, reply_ip_daddr as reply_ip_daddr_bin, reply_ip_protocol, reply_l4_sport, reply_l4_dport,
  reply_bytes as reply_raw_pktlen, reply_packets as reply_raw_pktcount, icmp_code, icmp_type, ct_mark,
  flow_start_sec, flow_start_usec, flow_end_sec, flow_end_usec
from ulog2_ct;

create function INSERT_CT(_oob_family bigint, _orig_ip_saddr binary(16), _orig_ip_daddr binary(16), _orig_ip_protocol tinyint unsigned,
  _orig_l4_sport int, _orig_l4_dport int, _orig_bytes bigint, _orig_packets bigint, _reply_ip_saddr binary(16), _reply_ip_daddr binary(16),
  _reply_ip_protocol tinyint unsigned, _reply_l4_sport int, _reply_l4_dport int, _reply_bytes bigint, _reply_packets bigint,
  _icmp_code smallint, _icmp_type smallint, _ct_mark bigint, _flow_start_sec bigint, _flow_start_usec int, _flow_end_sec bigint, _flow_end_usec int)
returns bigint unsigned
reads sql data
begin
  insert into ulog2_ct (oob_family, orig_ip_saddr, orig_ip_daddr, orig_ip_protocol, orig_l4_sport, orig_l4_dport, orig_bytes, orig_packets,
    reply_ip_saddr, reply_ip_daddr, reply_ip_protocol, reply_l4_sport, reply_l4_dport, reply_bytes, reply_packets,
    icmp_code, icmp_type, ct_mark, flow_start_sec, flow_start_usec, flow_end_sec, flow_end_usec)
  values (_oob_family, _orig_ip_saddr, _orig_ip_daddr, _orig_ip_protocol, _orig_l4_sport, _orig_l4_dport, _orig_bytes, _orig_packets,
    _reply_ip_saddr, _reply_ip_daddr, _reply_ip_protocol, _reply_l4_sport, _reply_l4_dport, _reply_bytes, _reply_packets,
    _icmp_code, _icmp_type, _ct_mark, _flow_start_sec, _flow_start_usec, _flow_end_sec, _flow_end_usec);
  return last_insert_id();
end;

create procedure DELETE_CT_FLOW(_ct_packet_id bigint unsigned)
modifies sql data sql security invoker
delete from ulog2_ct where _ct_id = _ct_packet_id;
{{end}}

{{/* The columns of view ulog that have the same name in table ulog2. */}}
{{define "ulog-head"}}ulog2.oob_time_sec, ulog2.oob_time_usec, ulog2.oob_hook, ulog2.oob_prefix, ulog2.oob_mark,
  ulog2.oob_in, ulog2.oob_out, ulog2.oob_family{{end}}

{{define "ulog-ip"}}ulog2.ip_protocol, ulog2.ip_tos, ulog2.ip_ttl, ulog2.ip_totlen, ulog2.ip_ihl, ulog2.ip_csum, ulog2.ip_id, ulog2.ip_fragoff,
  ulog2.ip6_payloadlen, ulog2.ip6_priority, ulog2.ip6_hoplimit, ulog2.ip6_flowlabel, ulog2.ip6_fragoff, ulog2.ip6_fragid{{end}}
