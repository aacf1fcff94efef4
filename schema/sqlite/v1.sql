{{/* The schema of ulogd 1: one table with numbers for addresses. */}}
-- IPv4 packets, one row each.
create table ulog ( -- {{.Mark}}
  raw_mac varchar(255),
  oob_time_sec int unsigned,
  oob_time_usec int unsigned,
  ip_saddr {{if .IPString}}text{{else}}int unsigned{{end}},
  ip_daddr {{if .IPString}}text{{else}}int unsigned{{end}},
  ip_protocol tinyint unsigned,
  ip_totlen smallint unsigned,
  tcp_sport smallint unsigned,
  tcp_dport smallint unsigned,
  udp_sport smallint unsigned,
  udp_dport smallint unsigned,
  udp_len smallint unsigned,
  icmp_type tinyint unsigned,
  icmp_code tinyint unsigned,
  icmp_echoid smallint unsigned,
  icmp_echoseq smallint unsigned,
  icmp_gateway int unsigned,
  icmp_fragmtu smallint unsigned
{{- if .Host}},
  local_hostname text
{{- end}}
);

create index ulog_time on ulog (oob_time_sec);
