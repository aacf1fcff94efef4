-- Connections, one row for each event. Counters are zero unless the kernel
-- accounts for connections.
CREATE TABLE "ulog" (
  _ct_id INTEGER PRIMARY KEY,
  oob_family INTEGER,      -- 2 IPv4, 10 IPv6
  orig_ip_saddr_str TEXT,
  orig_ip_daddr_str TEXT,
  orig_ip_protocol INTEGER,
  orig_l4_sport INTEGER,
  orig_l4_dport INTEGER,
  orig_raw_pktlen INTEGER, -- bytes
  orig_raw_pktcount INTEGER,
  reply_ip_saddr_str TEXT,
  reply_ip_daddr_str TEXT,
  reply_ip_protocol INTEGER,
  reply_l4_sport INTEGER,
  reply_l4_dport INTEGER,
  reply_raw_pktlen INTEGER,
  reply_raw_pktcount INTEGER,
  icmp_code INTEGER,
  icmp_type INTEGER,
  icmpv6_code INTEGER,
  icmpv6_type INTEGER,
  ct_id INTEGER,
  ct_mark INTEGER,
  ct_event INTEGER,        -- 1 new, 2 update, 4 destroy
  flow_start_sec INTEGER,  -- seconds since 1970
  flow_start_usec INTEGER,
  flow_end_sec INTEGER,
  flow_end_usec INTEGER
);
CREATE INDEX "ulog_time" ON "ulog" (flow_start_sec);
