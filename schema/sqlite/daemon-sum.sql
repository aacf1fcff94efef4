-- Readings of the kernel's accounting objects.
CREATE TABLE "ulog" (
  _id INTEGER PRIMARY KEY,
  sum_name TEXT,
  sum_pkts INTEGER,
  sum_bytes INTEGER,
  oob_time_sec INTEGER,    -- seconds since 1970
  oob_time_usec INTEGER
);
CREATE INDEX "ulog_time" ON "ulog" (oob_time_sec);
