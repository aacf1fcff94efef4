package queue

import (
	"fmt"
	"time"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// Options are what a user may say of an output's queue. Outputs embed them in
// their own options.
type Options struct {
	Memory     option.Size `toml:"queue_memory" extra:"true" doc:"how much may wait in memory for this output, in bytes (16MiB and so on are understood)"`
	OnFull     Policy      `toml:"on_full" extra:"true" doc:"what to do when no more can wait: wait holds the packets in the kernel's buffer while the output is slow, and refuses rows once it has stood still for a second; refuse refuses rows at once. Refused rows are counted"`
	Spool      string      `toml:"spool" extra:"true" doc:"where rows wait on disk, so that they outlive the daemon: a directory, auto for one in the daemon's state directory, or none"`
	SpoolMax   option.Size `toml:"spool_max" extra:"true" doc:"how much may wait on disk, in bytes"`
	Durability Durability  `toml:"durability" extra:"true" doc:"what rows on disk survive: process (the end of the daemon, however sudden) or power (a power cut too, for a sync of each batch)"`
}

// Defaults are the options of a queue that nobody configured.
var Defaults = Options{Memory: 16 << 20, OnFull: Wait, Spool: None, SpoolMax: 1 << 30, Durability: Process}

// Values of Options.Spool that are no directory.
const (
	None = "none" // memory only
	Auto = "auto" // in the daemon's state directory, if it has one
)

// Policy is what happens to rows that find the queue full.
type Policy string

// The policies.
const (
	Wait   Policy = "wait"   // hold up the pipeline while the output makes progress
	Refuse Policy = "refuse" // drop and count the newest rows
)

// UnmarshalText accepts the name of a policy.
func (p *Policy) UnmarshalText(text []byte) error {
	switch Policy(text) {
	case Wait, Refuse:
		*p = Policy(text)
		return nil
	}
	return fmt.Errorf("unknown policy %q: use %q or %q", text, Wait, Refuse)
}

// MarshalText is the inverse of UnmarshalText.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p), nil }

// Durability is what rows in the spool survive.
type Durability string

// The durabilities.
const (
	Process Durability = "process" // the end of the process: rows are in the system's cache
	Power   Durability = "power"   // a power cut: rows are on the disk
)

// UnmarshalText accepts the name of a durability.
func (d *Durability) UnmarshalText(text []byte) error {
	switch Durability(text) {
	case Process, Power:
		*d = Durability(text)
		return nil
	}
	return fmt.Errorf("unknown durability %q: use %q or %q", text, Process, Power)
}

// MarshalText is the inverse of UnmarshalText.
func (d Durability) MarshalText() ([]byte, error) { return []byte(d), nil }

// Batching is how an output likes its blocks. A block is due when it holds Rows
// rows or Bytes bytes or is Age old; the zero Age makes every block due at once.
// What follows full blocks is due as soon as no row came for a 64th of Age.
type Batching struct {
	Rows  int
	Bytes int
	Age   time.Duration
	// MaxWait is the longest wait between two attempts of delivery; zero
	// leaves it to the caller.
	MaxWait time.Duration
}

// limits fills in what the zero Batching leaves open. A block that fills the
// memory must not wait for its age: nothing else would find room meanwhile.
func (b Batching) limits(memory int) Batching {
	if b.Bytes == 0 {
		b.Bytes = 64 << 10
	}
	b.Bytes = max(1, min(b.Bytes, memory))
	if b.Rows == 0 {
		b.Rows = int(^uint(0) >> 1)
	}
	return b
}
