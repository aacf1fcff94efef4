{{/* The flat schema, under the names that PostgreSQL has, with addresses as texts. */}}
-- Packets, one row each.
create table ulog2 ( -- {{.Mark}}
  _id integer primary key,
  oob_time_sec integer,
  oob_time_usec integer,
  oob_hook integer,
  oob_prefix text,
  oob_mark integer,
  oob_in text,
  oob_out text,
  oob_family integer,
  ip_saddr_str text,
  ip_daddr_str text,
  ip_protocol integer,
  ip_tos integer,
  ip_ttl integer,
  ip_totlen integer,
  ip_ihl integer,
  ip_csum integer,
  ip_id integer,
  ip_fragoff integer,
  ip6_payloadlen integer,
  ip6_priority integer,
  ip6_hoplimit integer,
  ip6_flowlabel integer,
  ip6_fragoff integer,
  ip6_fragid integer,
  raw_label integer,
  mac_saddr_str text,
  mac_daddr_str text,
  oob_protocol integer,
  raw_type integer,
  mac_str text,
  tcp_sport integer,
  tcp_dport integer,
  tcp_seq integer,
  tcp_ackseq integer,
  tcp_window integer,
  tcp_urg integer,
  tcp_urgp integer,
  tcp_ack integer,
  tcp_psh integer,
  tcp_rst integer,
  tcp_syn integer,
  tcp_fin integer,
  udp_sport integer,
  udp_dport integer,
  udp_len integer,
  sctp_sport integer,
  sctp_dport integer,
  sctp_csum integer,
  icmp_type integer,
  icmp_code integer,
  icmp_echoid integer,
  icmp_echoseq integer,
  icmp_gateway integer,
  icmp_fragmtu integer,
  icmpv6_type integer,
  icmpv6_code integer,
  icmpv6_echoid integer,
  icmpv6_echoseq integer,
  icmpv6_csum integer
{{- if .Host}},
  local_hostname text
{{- end}}
);

create index ulog2_time on ulog2 (oob_time_sec);

-- Connections, one row for each event.
create table ulog2_ct (
  _ct_id integer primary key,
  oob_family integer,
  orig_ip_saddr_str text,
  orig_ip_daddr_str text,
  orig_ip_protocol integer,
  orig_l4_sport integer,
  orig_l4_dport integer,
  orig_raw_pktlen integer default 0,
  orig_raw_pktcount integer default 0,
  reply_ip_saddr_str text,
  reply_ip_daddr_str text,
  reply_ip_protocol integer,
  reply_l4_sport integer,
  reply_l4_dport integer,
  reply_raw_pktlen integer default 0,
  reply_raw_pktcount integer default 0,
  icmp_code integer,
  icmp_type integer,
  ct_mark integer default 0,
  flow_start_sec integer default 0,
  flow_start_usec integer default 0,
  flow_end_sec integer default 0,
  flow_end_usec integer default 0,
  ct_event integer default 0
{{- if .Host}},
  local_hostname text
{{- end}}
);

create index ulog2_ct_start on ulog2_ct (flow_start_sec);

create index ulog2_ct_end on ulog2_ct (flow_end_sec);

-- Readings of the kernel's accounting objects.
create table nfacct (
  sum_name text,
  sum_pkts integer default 0,
  sum_bytes integer default 0,
  oob_time_sec integer,
  oob_time_usec integer
{{- if .Host}},
  local_hostname text
{{- end}}
);

create index nfacct_time on nfacct (oob_time_sec);

create view ulog as select _id, oob_time_sec, oob_time_usec, oob_hook, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr_str,
  ip_daddr_str, ip_protocol, ip_tos, ip_ttl, ip_totlen, ip_ihl, ip_csum, ip_id, ip_fragoff, ip6_payloadlen,
  ip6_priority, ip6_hoplimit, ip6_flowlabel, ip6_fragoff, ip6_fragid, tcp_sport, tcp_dport, tcp_seq, tcp_ackseq,
  tcp_window, tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin, udp_sport, udp_dport, udp_len, icmp_type,
  icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu, icmpv6_type, icmpv6_code, icmpv6_echoid,
  icmpv6_echoseq, icmpv6_csum, raw_type, mac_str, mac_saddr_str, mac_daddr_str, oob_protocol, raw_label, sctp_sport,
  sctp_dport, sctp_csum
from ulog2;

{{if .Host}}
create view ulog_host as select ulog.*, ulog2.local_hostname from ulog join ulog2 using (_id);
{{end}}

create view view_tcp as select * from ulog2 where ip_protocol = 6;

create view view_udp as select * from ulog2 where ip_protocol = 17;

create view view_icmp as select * from ulog2 where ip_protocol = 1;

create view view_icmpv6 as select * from ulog2 where ip_protocol = 58;

create view view_tcp_quad as select _id, ip_saddr_str, tcp_sport, ip_daddr_str, tcp_dport from ulog2 where ip_protocol = 6;

create view view_udp_quad as select _id, ip_saddr_str, udp_sport, ip_daddr_str, udp_dport from ulog2 where ip_protocol = 17;
