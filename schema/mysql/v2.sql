{{/* The relational schema: a table for each protocol. */}}
{{template "tables" .}}

create table mac (
  _mac_id bigint unsigned not null auto_increment,
  mac_saddr varchar(32),
  mac_daddr varchar(32),
  mac_protocol smallint unsigned,
  primary key (_mac_id),
  unique key mac_addr (mac_saddr, mac_daddr, mac_protocol)
) {{template "options"}};

-- Packets, one row each.
create table ulog2 (
  _id bigint unsigned not null auto_increment,
  {{template "packet" ""}},
  label tinyint unsigned,
  mac_id bigint unsigned,
  timestamp timestamp not null default current_timestamp,
{{- if .Host}}
  local_hostname varchar(255),
  key host_time (local_hostname, oob_time_sec),
{{- end}}
  {{template "key" .}},
  key oob_time_sec (oob_time_sec),
  key ip_saddr (ip_saddr),
  key ip_daddr (ip_daddr),
  key mac_id (mac_id),
  key timestamp (timestamp)
) {{template "options"}}{{if .Daily}}
{{template "days" .}}{{end}};

-- Headers that are not of Ethernet.
create table hwhdr (
  _hw_id bigint unsigned not null,
  raw_type int unsigned,
  raw_header varchar(255),
  primary key (_hw_id),
  key raw_type (raw_type)
) {{template "options"}};

create table tcp (
  _tcp_id bigint unsigned not null,
  {{template "tcp"}},
  primary key (_tcp_id),
  key tcp_sport (tcp_sport),
  key tcp_dport (tcp_dport)
{{- if not .Daily}},
  constraint _tcp_id foreign key (_tcp_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

create table udp (
  _udp_id bigint unsigned not null,
  {{template "udp"}},
  primary key (_udp_id),
  key udp_sport (udp_sport),
  key udp_dport (udp_dport)
{{- if not .Daily}},
  constraint _udp_id foreign key (_udp_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

create table sctp (
  _sctp_id bigint unsigned not null,
  {{template "sctp"}},
  primary key (_sctp_id),
  key sctp_sport (sctp_sport),
  key sctp_dport (sctp_dport)
{{- if not .Daily}},
  constraint _sctp_id foreign key (_sctp_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

create table icmp (
  _icmp_id bigint unsigned not null,
  {{template "icmp"}},
  primary key (_icmp_id)
{{- if not .Daily}},
  constraint _icmp_id foreign key (_icmp_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

create table icmpv6 (
  _icmpv6_id bigint unsigned not null,
  {{template "icmpv6"}},
  primary key (_icmpv6_id)
{{- if not .Daily}},
  constraint _icmpv6_id foreign key (_icmpv6_id) references ulog2 (_id)
{{- end}}
) {{template "options"}};

{{template "extensions" .}}

{{template "flows" .}}

{{template "addresses" .}}

{{template "v2-views" .}}

{{template "v2-routines" .}}
