package nfct

import (
	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// decode reads a message about a connection that the filters let pass. It reports
// what has happened to it, and 0 if it is to be passed over.
func (s *source) decode(m nlsock.Message) ctnetlink.Event {
	what := ctnetlink.EventOf(m)
	if what == 0 {
		return 0
	}
	if err := s.flow.Decode(m.Body); err != nil {
		s.malformed.Add(1)
		return 0
	}
	if !s.accepts(&s.flow) {
		return 0
	}
	s.attrs = m.Body[nflog.FamilyHeaderLen:]
	return what
}

// event deals with an event of the kernel.
func (s *source) event(b *event.Batch, m nlsock.Message) {
	what := s.decode(m)
	if what == 0 {
		return
	}
	s.events.Add(1)
	switch {
	case what == ctnetlink.Destroy:
		s.ended(b)
	case s.table == nil:
		start := s.flow.Start
		if start == 0 && what == ctnetlink.New {
			start = s.now
		}
		s.report(b, record{Flow: &s.flow, event: what, start: start, attrs: s.attrs})
	default:
		s.observed(b, what)
	}
}

// observed deals with a connection that has begun or changed, with the table.
func (s *source) observed(b *event.Batch, what ctnetlink.Event) {
	e, start, _ := s.track(b)
	if what == ctnetlink.New && e != nil {
		if e.announced {
			return // a dump was faster
		}
		e.announced = true
	}
	s.report(b, record{Flow: &s.flow, event: what, start: start, attrs: s.attrs})
}

// ended deals with a connection that has ended.
func (s *source) ended(b *event.Batch) {
	start := s.flow.Start
	if s.table != nil {
		e := s.table.find(&s.flow)
		if e == nil { // some kernels of 2019 give a connection another number at its end
			e = s.table.other(&s.flow)
		}
		if e != nil {
			start = e.Start
			s.table.remove(e)
		}
	}
	s.report(b, record{Flow: &s.flow, event: ctnetlink.Destroy, start: start, end: or(s.flow.Stop, s.now), attrs: s.attrs})
}

// answer deals with a connection that a dump has found.
func (s *source) answer(b *event.Batch, m nlsock.Message) {
	if s.decode(m) != ctnetlink.Update {
		return
	}
	if s.table == nil {
		s.publish(b, record{Flow: &s.flow, event: ctnetlink.Update, start: s.flow.Start, attrs: s.attrs})
		return
	}
	e, start, known := s.track(b)
	if e != nil {
		e.seen = s.dump.number
	}
	r := record{Flow: &s.flow, event: ctnetlink.Update, start: start, attrs: s.attrs}
	switch {
	case s.dump.kind == dumpReset:
		s.publish(b, r)
		if e != nil { // what comes later is counted from here on
			e.OrigCount, e.ReplyCount = ctnetlink.Counters{}, ctnetlink.Counters{}
		}
	case s.dump.kind == dumpFirst || e == nil:
	case !known:
		s.dump.begun++
		e.announced = true
		r.event = ctnetlink.New
		s.report(b, r)
	case s.dump.kind == dumpPoll:
		s.report(b, r)
	}
}

// track notes in the table what a message says. The entry is nil if there is no room.
func (s *source) track(b *event.Batch) (e *entry, start int64, known bool) {
	f := &s.flow
	if e := s.table.find(f); e != nil {
		e.Merge(f)
		return e, e.Start, true
	}
	// Another one that had its addresses and ports has ended. A dump need not say so: the
	// event may be waiting, and else the sweep finds it.
	if e := s.table.other(f); e != nil && s.dump.state != reading && s.dump.state != zeroing {
		s.missed.Add(1)
		s.gone(b, e)
	}
	start = or(f.Start, s.now)
	if e = s.table.add(f); e == nil {
		s.refused.Add(1)
		s.refusing.Add(1)
		return nil, start, false
	}
	e.Start, e.seen = start, s.dump.number
	return e, start, false
}

// gone reports a connection of the table whose end was not seen.
func (s *source) gone(b *event.Batch, e *entry) {
	s.report(b, record{Flow: &e.Flow, event: ctnetlink.Destroy, start: e.Start, end: or(e.Stop, s.now)})
	s.table.remove(e)
}

// report adds a record to the batch if such events are reported.
func (s *source) report(b *event.Batch, r record) {
	if r.event&s.reports != 0 {
		s.publish(b, r)
	}
}

// publish adds a record to the batch.
func (s *source) publish(b *event.Batch, r record) {
	if !s.NATOnly || r.Translated() {
		s.keys.add(b, r)
	}
}

// or is t, or if that is not known, otherwise.
func or(t, otherwise int64) int64 {
	if t != 0 {
		return t
	}
	return otherwise
}
