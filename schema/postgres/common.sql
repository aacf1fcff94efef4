{{/* What the schemas for PostgreSQL have in common. */}}

{{/* The partitions of a table by days, and one for all other times. */}}
{{define "days"}}
{{- $table := .Table}}
{{range .Days}}
create table {{$table}}_{{.Name}} partition of {{$table}} for values from ({{.From}}) to ({{.To}});
{{end}}
create table {{$table}}_default partition of {{$table}} default;
{{end}}

{{define "packet"}}oob_time_sec bigint,
  oob_time_usec bigint,
  oob_hook smallint,
  oob_prefix varchar(128),
  oob_mark bigint,
  oob_in varchar(32),
  oob_out varchar(32),
  oob_family smallint,
  ip_saddr_str inet,
  ip_daddr_str inet,
  ip_protocol smallint,
  ip_tos smallint,
  ip_ttl smallint,
  ip_totlen integer,
  ip_ihl smallint,
  ip_csum integer,
  ip_id integer,
  ip_fragoff integer,
  ip6_payloadlen bigint,
  ip6_priority smallint,
  ip6_hoplimit smallint,
  ip6_flowlabel bigint,
  ip6_fragoff integer,
  ip6_fragid bigint{{end}}

{{define "tcp"}}tcp_sport integer,
  tcp_dport integer,
  tcp_seq bigint,
  tcp_ackseq bigint,
  tcp_window integer,
  tcp_urg boolean,
  tcp_urgp integer,
  tcp_ack boolean,
  tcp_psh boolean,
  tcp_rst boolean,
  tcp_syn boolean,
  tcp_fin boolean{{end}}

{{define "udp"}}udp_sport integer,
  udp_dport integer,
  udp_len integer{{end}}

{{define "sctp"}}sctp_sport integer,
  sctp_dport integer,
  sctp_csum bigint{{end}}

{{define "icmp"}}icmp_type smallint,
  icmp_code smallint,
  icmp_echoid integer,
  icmp_echoseq integer,
  icmp_gateway bigint,
  icmp_fragmtu integer{{end}}

{{define "icmpv6"}}icmpv6_type smallint,
  icmpv6_code smallint,
  icmpv6_echoid integer,
  icmpv6_echoseq integer,
  icmpv6_csum integer{{end}}

{{/* Tables of all versions 2, but for the packets. */}}
{{define "tables"}}
create table _format (
  version integer
);

comment on table _format is '{{.Mark}}';

insert into _format (version) values ({{if eq .Version "v2"}}6{{else}}1{{end}});

create table _extensions (
  ext_id serial primary key,
  ext_name varchar(64) not null,
  table_name varchar(64) not null,
  join_name varchar(64) not null
);

insert into _extensions (ext_name, table_name, join_name) values ('nufw', 'nufw', '_nufw_id');

create table ip_proto (
  _proto_id serial primary key,
  proto_name varchar(16),
  proto_desc varchar(255)
);

insert into ip_proto (_proto_id, proto_name, proto_desc) values
{{template "protocols"}},
  (132, 'sctp', 'Stream Control Transmission Protocol');

create sequence ulog2__id_seq;
{{end}}

{{define "extensions"}}
create table nufw (
  _nufw_id bigint primary key{{if not .Daily}} constraint nufw_id_fk references ulog2 (_id){{end}},
  username varchar(30),
  user_id integer,
  client_os varchar(100),
  client_app varchar(256)
);

create index user_id on nufw (user_id);
{{end}}

{{define "flows"}}
create sequence ulog2_ct__ct_id_seq;

-- Connections, one row for each event.
create table ulog2_ct (
  _ct_id bigint primary key default nextval('ulog2_ct__ct_id_seq'),
  oob_family smallint,
  orig_ip_saddr_str inet,
  orig_ip_daddr_str inet,
  orig_ip_protocol smallint,
  orig_l4_sport integer,
  orig_l4_dport integer,
  orig_raw_pktlen bigint default 0,
  orig_raw_pktcount bigint default 0,
  reply_ip_saddr_str inet,
  reply_ip_daddr_str inet,
  reply_ip_protocol smallint,
  reply_l4_sport integer,
  reply_l4_dport integer,
  reply_raw_pktlen bigint default 0,
  reply_raw_pktcount bigint default 0,
  icmp_code smallint,
  icmp_type smallint,
  ct_mark bigint default 0,
  flow_start_sec bigint default 0,
  flow_start_usec bigint default 0,
  flow_end_sec bigint default 0,
  flow_end_usec bigint default 0,
  ct_event smallint default 0
{{- if .Host}},
  local_hostname varchar(255)
{{- end}}
);

create index ulog2_ct_orig_tuple on ulog2_ct (orig_ip_saddr_str, orig_ip_daddr_str, orig_l4_sport, orig_l4_dport);

create index ulog2_ct_reply_tuple on ulog2_ct (reply_ip_saddr_str, reply_ip_daddr_str, reply_l4_sport, reply_l4_dport);

create index ulog2_ct_orig_ip_daddr on ulog2_ct (orig_ip_daddr_str);

create index ulog2_ct_reply_ip_daddr on ulog2_ct (reply_ip_daddr_str);

create index ulog2_ct_flow_start on ulog2_ct (flow_start_sec);

create index ulog2_ct_flow_end on ulog2_ct (flow_end_sec);

{{if .Host}}
create index ulog2_ct_host on ulog2_ct (local_hostname, flow_start_sec);
{{end}}

create function insert_ct({{template "flow-arguments" .}})
returns bigint as $$
  insert into ulog2_ct (oob_family, orig_ip_saddr_str, orig_ip_daddr_str, orig_ip_protocol, orig_l4_sport, orig_l4_dport,
    orig_raw_pktlen, orig_raw_pktcount, reply_ip_saddr_str, reply_ip_daddr_str, reply_ip_protocol, reply_l4_sport, reply_l4_dport,
    reply_raw_pktlen, reply_raw_pktcount, icmp_code, icmp_type, ct_mark,
    flow_start_sec, flow_start_usec, flow_end_sec, flow_end_usec, ct_event{{if .Host}}, local_hostname{{end}})
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23{{if .Host}}, $24{{end}})
  returning _ct_id;
$$ language sql;

-- Event 4, the end of a connection, completes the row of its beginning: the last
-- one that is open. If there is none, it is a row of its own.
create function insert_or_replace_ct({{template "flow-arguments" .}})
returns bigint as $$
declare
  open_id bigint;
begin
  if _ct_event = 4 then
    select _ct_id into open_id from ulog2_ct
      where ct_event < 4 and oob_family is not distinct from _oob_family
        and orig_ip_saddr_str = _orig_ip_saddr and orig_ip_daddr_str = _orig_ip_daddr
        and orig_ip_protocol is not distinct from _orig_ip_protocol
        and reply_ip_saddr_str is not distinct from _reply_ip_saddr and reply_ip_daddr_str is not distinct from _reply_ip_daddr
        and reply_ip_protocol is not distinct from _reply_ip_protocol
        and case when _orig_ip_protocol = 1 then icmp_code is not distinct from _icmp_code and icmp_type is not distinct from _icmp_type
          else orig_l4_sport is not distinct from _orig_l4_sport and orig_l4_dport is not distinct from _orig_l4_dport
            and reply_l4_sport is not distinct from _reply_l4_sport and reply_l4_dport is not distinct from _reply_l4_dport end
{{- if .Host}}
        and local_hostname is not distinct from _local_hostname
{{- end}}
      order by _ct_id desc limit 1;
    if found then
      update ulog2_ct set orig_raw_pktlen = _orig_raw_pktlen, orig_raw_pktcount = _orig_raw_pktcount,
        reply_raw_pktlen = _reply_raw_pktlen, reply_raw_pktcount = _reply_raw_pktcount, ct_mark = _ct_mark,
        flow_end_sec = _flow_end_sec, flow_end_usec = _flow_end_usec, ct_event = _ct_event
        where _ct_id = open_id;
      return null;
    end if;
  end if;
  return insert_ct(_oob_family, _orig_ip_saddr, _orig_ip_daddr, _orig_ip_protocol, _orig_l4_sport, _orig_l4_dport,
    _orig_raw_pktlen, _orig_raw_pktcount, _reply_ip_saddr, _reply_ip_daddr, _reply_ip_protocol, _reply_l4_sport, _reply_l4_dport,
    _reply_raw_pktlen, _reply_raw_pktcount, _icmp_code, _icmp_type, _ct_mark,
    _flow_start_sec, _flow_start_usec, _flow_end_sec, _flow_end_usec, _ct_event{{if .Host}}, _local_hostname{{end}});
end;
$$ language plpgsql;

create function delete_ct_flow(_ct_packet_id bigint) returns void as $$
  delete from ulog2_ct where _ct_id = $1;
$$ language sql;

-- Readings of the kernel's accounting objects.
create table nfacct (
  sum_name varchar(128),
  sum_pkts bigint default 0,
  sum_bytes bigint default 0,
  oob_time_sec bigint,
  oob_time_usec bigint,
{{- if .Host}}
  local_hostname varchar(255),
  constraint unique_acct unique (sum_name, oob_time_sec, oob_time_usec, local_hostname)
{{- else}}
  constraint unique_acct unique (sum_name, oob_time_sec, oob_time_usec)
{{- end}}
);

create index nfacct_oob_time_sec on nfacct (oob_time_sec);

create function insert_nfacct(sum_name varchar, sum_pkts bigint, sum_bytes bigint, oob_time_sec bigint, oob_time_usec bigint
{{- if .Host}}, local_hostname varchar default null{{end}})
returns void as $$
  insert into nfacct (sum_name, sum_pkts, sum_bytes, oob_time_sec, oob_time_usec{{if .Host}}, local_hostname{{end}})
  values ($1, $2, $3, $4, $5{{if .Host}}, $6{{end}});
$$ language sql;
{{end}}

{{define "flow-arguments"}}_oob_family integer, _orig_ip_saddr inet, _orig_ip_daddr inet, _orig_ip_protocol integer,
  _orig_l4_sport integer, _orig_l4_dport integer, _orig_raw_pktlen bigint, _orig_raw_pktcount bigint,
  _reply_ip_saddr inet, _reply_ip_daddr inet, _reply_ip_protocol integer, _reply_l4_sport integer, _reply_l4_dport integer,
  _reply_raw_pktlen bigint, _reply_raw_pktcount bigint, _icmp_code integer, _icmp_type integer, _ct_mark bigint,
  _flow_start_sec bigint, _flow_start_usec bigint, _flow_end_sec bigint, _flow_end_usec bigint, _ct_event integer
{{- if .Host}}, _local_hostname varchar default null{{end}}{{end}}

{{/* The columns that all tables of packets begin with. */}}
{{define "ulog-head"}}ulog2._id, ulog2.oob_time_sec, ulog2.oob_time_usec, ulog2.oob_hook, ulog2.oob_prefix, ulog2.oob_mark,
  ulog2.oob_in, ulog2.oob_out, ulog2.oob_family, ulog2.ip_saddr_str, ulog2.ip_daddr_str,
  ulog2.ip_protocol, ulog2.ip_tos, ulog2.ip_ttl, ulog2.ip_totlen, ulog2.ip_ihl, ulog2.ip_csum, ulog2.ip_id, ulog2.ip_fragoff,
  ulog2.ip6_payloadlen, ulog2.ip6_priority, ulog2.ip6_hoplimit, ulog2.ip6_flowlabel, ulog2.ip6_fragoff, ulog2.ip6_fragid{{end}}

{{define "tcp-columns"}}tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_window, tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin{{end}}

{{define "icmp-columns"}}icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu,
  icmpv6_type, icmpv6_code, icmpv6_echoid, icmpv6_echoseq, icmpv6_csum{{end}}

{{define "number"}}case when family({{.}}) = 4 then {{.}} - inet '0.0.0.0' end{{end}}

{{/* The columns of the schema v1, in the order that it has in PostgreSQL. */}}
{{define "v1-columns"}}ip_ihl, ip_tos, ip_totlen, ip_id, ip_fragoff, ip_ttl, ip_protocol, ip_csum,
  {{template "number" "ip_saddr_str"}} as ip_saddr, {{template "number" "ip_daddr_str"}} as ip_daddr,
  tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_urg, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin, tcp_window, tcp_urgp,
  udp_sport, udp_dport, udp_len, icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu,
  cast(null as varchar(30)) as pwsniff_user, cast(null as varchar(30)) as pwsniff_pass, cast(null as bigint) as ahesp_spi,
  cast(null as bigint) as local_time, {{if .Host}}ulog2.local_hostname{{else}}cast(null as varchar(40)) as local_hostname{{end}}{{end}}
