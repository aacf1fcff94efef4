{{/* The two tables that come with ulogd 2. */}}
-- Connections, one row for each event.
create table ulog_ct ( -- {{.Mark}}
  flow_start_sec int unsigned,
  flow_start_usec int unsigned,
  flow_end_sec int unsigned,
  flow_end_usec int unsigned,
  orig_ip_saddr int unsigned,
  orig_ip_daddr int unsigned,
  orig_l4_sport smallint unsigned,
  orig_l4_dport smallint unsigned,
  orig_ip_protocol tinyint unsigned,
  icmp_type tinyint unsigned,
  icmp_code tinyint unsigned,
  orig_raw_pktlen int unsigned,
  orig_raw_pktcount int unsigned,
  reply_raw_pktlen int unsigned,
  reply_raw_pktcount int unsigned,
  ct_mark int unsigned
{{- if .Host}},
  local_hostname text
{{- end}}
);

create index ulog_ct_start on ulog_ct (flow_start_sec);

create index ulog_ct_end on ulog_ct (flow_end_sec);

-- Packets, one row each.
create table ulog_pkt (
  raw_pktlen int unsigned,
  raw_pktcount int unsigned,
  oob_prefix varchar(128),
  oob_time_sec int unsigned,
  oob_time_usec int unsigned,
  oob_mark int unsigned,
  oob_hook tinyint unsigned,
  oob_uid int unsigned,
  oob_gid int unsigned
{{- if .Host}},
  local_hostname text
{{- end}}
);

create index ulog_pkt_time on ulog_pkt (oob_time_sec);
