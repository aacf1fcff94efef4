// Package stats counts what instances do, so that nothing is lost in silence.
package stats

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Counter only grows. It may be used concurrently.
type Counter struct {
	Name string // in snake case, such as "rows_written"
	Doc  string
	n    atomic.Uint64
}

// Add counts n more.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value is what has been counted.
func (c *Counter) Value() uint64 { return c.n.Load() }

// Set is the counters of one instance. It may be used concurrently.
type Set struct {
	Instance string

	mu       sync.Mutex
	counters []*Counter
}

// Counter is the set's counter of that name; it is made on first use.
func (s *Set) Counter(name, doc string) *Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.counters {
		if c.Name == name {
			return c
		}
	}
	c := &Counter{Name: name, Doc: doc}
	s.counters = append(s.counters, c)
	return c
}

// Counters are the set's counters in the order in which they were made.
func (s *Set) Counters() []*Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.counters)
}

// Registry is the sets of all instances. The zero Registry is empty and may be
// used concurrently.
type Registry struct {
	mu   sync.Mutex
	sets []*Set
}

// Set makes a set for an instance. Two instances of the same name have a set each.
func (r *Registry) Set(instance string) *Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Set{Instance: instance}
	r.sets = append(r.sets, s)
	return s
}

// Sets are all sets, in the order in which they were made.
func (r *Registry) Sets() []*Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sets)
}
