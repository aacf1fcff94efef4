{{/* The schema of ulogd 1: one table with numbers for addresses. */}}
create sequence seq_ulog;

-- IPv4 packets, one row each.
create table ulog (
  id bigint not null default nextval('seq_ulog'),
  oob_prefix varchar(128),
  oob_time_sec bigint,
  oob_time_usec bigint,
  oob_mark bigint,
  oob_in varchar(32),
  oob_out varchar(32),
  raw_mac varchar(255),
  raw_pktlen bigint,
  ip_ihl smallint,
  ip_tos smallint,
  ip_totlen integer,
  ip_id integer,
  ip_fragoff integer,
  ip_ttl smallint,
  ip_protocol smallint,
  ip_csum integer,
  ip_saddr {{if .IPString}}inet{{else}}bigint{{end}},
  ip_daddr {{if .IPString}}inet{{else}}bigint{{end}},
  tcp_sport integer,
  tcp_dport integer,
  tcp_seq bigint,
  tcp_ackseq bigint,
  tcp_urg boolean,
  tcp_ack boolean,
  tcp_psh boolean,
  tcp_rst boolean,
  tcp_syn boolean,
  tcp_fin boolean,
  tcp_window integer,
  tcp_urgp integer,
  udp_sport integer,
  udp_dport integer,
  udp_len integer,
  icmp_type smallint,
  icmp_code smallint,
  icmp_echoid integer,
  icmp_echoseq integer,
  icmp_gateway bigint,
  icmp_fragmtu integer,
  pwsniff_user varchar(30),
  pwsniff_pass varchar(30),
  ahesp_spi bigint,
  local_time bigint,
  local_hostname varchar(255)
{{- if not .Daily}},
  primary key (id)
{{- end}}
){{if .Daily}} partition by range (oob_time_sec){{end}};

comment on table ulog is '{{.Mark}}';

{{if .Daily}}
create unique index ulog_id on ulog (id, oob_time_sec);
{{end}}

create index ulog_oob_time_sec on ulog (oob_time_sec);

create index ulog_ip_saddr on ulog (ip_saddr);

create index ulog_ip_daddr on ulog (ip_daddr);

{{if .Host}}
create index ulog_host on ulog (local_hostname, oob_time_sec);
{{end}}

{{if .Daily}}{{template "days" .Of "ulog"}}{{end}}
