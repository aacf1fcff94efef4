-- Packets, one row each. NULL means that the packet has no such field.
CREATE TABLE "ulog" (
  _id INTEGER PRIMARY KEY,
  oob_time_sec INTEGER,    -- seconds since 1970
  oob_time_usec INTEGER,
  oob_hook INTEGER,        -- 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting
  oob_prefix TEXT,
  oob_mark INTEGER,
  oob_in TEXT,
  oob_out TEXT,
  oob_physin TEXT,         -- bridge ports
  oob_physout TEXT,
  oob_family INTEGER,      -- 2 IPv4, 3 ARP, 7 bridge, 10 IPv6
  oob_protocol INTEGER,    -- EtherType
  oob_vlan_id INTEGER,
  oob_uid INTEGER,
  oob_gid INTEGER,
  raw_label INTEGER,
  raw_type INTEGER,        -- hardware type, 1 Ethernet
  mac_str TEXT,
  mac_saddr_str TEXT,
  mac_daddr_str TEXT,
  ip_saddr_str TEXT,
  ip_daddr_str TEXT,
  ip_protocol INTEGER,
  ip_tos INTEGER,
  ip_ttl INTEGER,
  ip_totlen INTEGER,
  ip_ihl INTEGER,
  ip_csum INTEGER,
  ip_id INTEGER,
  ip_fragoff INTEGER,      -- with the flags on top
  ip6_payloadlen INTEGER,
  ip6_priority INTEGER,
  ip6_hoplimit INTEGER,
  ip6_flowlabel INTEGER,
  ip6_fragoff INTEGER,     -- bytes
  ip6_fragid INTEGER,
  tcp_sport INTEGER,
  tcp_dport INTEGER,
  tcp_seq INTEGER,
  tcp_ackseq INTEGER,
  tcp_window INTEGER,
  tcp_urg INTEGER,
  tcp_urgp INTEGER,
  tcp_ack INTEGER,
  tcp_psh INTEGER,
  tcp_rst INTEGER,
  tcp_syn INTEGER,
  tcp_fin INTEGER,
  udp_sport INTEGER,
  udp_dport INTEGER,
  udp_len INTEGER,
  sctp_sport INTEGER,
  sctp_dport INTEGER,
  sctp_csum INTEGER,
  icmp_type INTEGER,
  icmp_code INTEGER,
  icmp_echoid INTEGER,
  icmp_echoseq INTEGER,
  icmp_gateway TEXT,
  icmp_fragmtu INTEGER,
  icmpv6_type INTEGER,
  icmpv6_code INTEGER,
  icmpv6_echoid INTEGER,
  icmpv6_echoseq INTEGER,
  icmpv6_csum INTEGER,
  arp_operation INTEGER,   -- 1 request, 2 reply
  arp_saddr_str TEXT,
  arp_daddr_str TEXT
);
CREATE INDEX "ulog_time" ON "ulog" (oob_time_sec);
