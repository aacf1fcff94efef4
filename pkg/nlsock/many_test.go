package nlsock

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// TestKernelReceiveMany reads packets of a group, one in each datagram.
func TestKernelReceiveMany(t *testing.T) {
	ns, s := listen(t)
	m := NewMany(make([]byte, 10*1024+1023), 1024)
	if err := s.ReceiveMany(m, false); err != nil || m.Len() != 0 {
		t.Fatalf("%d datagrams of an empty socket, %v", m.Len(), err)
	}
	send(t, ns, 25, 20)
	var got []uint32
	for _, want := range []int{10, 10, 5, 0} {
		if err := s.ReceiveMany(m, want > 0); err != nil || m.Len() != want {
			t.Fatalf("%d datagrams, %v; want %d", m.Len(), err, want)
		}
		for i := range m.Len() {
			got = append(got, numbers(t, m.At(i))...)
		}
	}
	for i, n := range got {
		if n != uint32(i) {
			t.Fatalf("packets %v, want them in order", got)
		}
	}
	if len(got) != 25 {
		t.Errorf("%d packets, want 25", len(got))
	}
	send(t, ns, 2, 2000) // too long
	send(t, ns, 1, 20)
	if err := s.ReceiveMany(m, true); err != nil || m.Len() != 1 || s.Truncated != 2 {
		t.Errorf("%d datagrams, %d truncated, %v; want 1 behind 2 that are", m.Len(), s.Truncated, err)
	}
	foreign(t, ns, s.PortID(), nflog.AppendMessage(nil, nflog.TypePacket, 0, []byte{2, 0, 0, 1}))
	if err := s.ReceiveMany(m, true); err != nil || m.Len() != 0 || s.Foreign != 1 {
		t.Errorf("%d datagrams, %d foreign, %v; want a process's passed over", m.Len(), s.Foreign, err)
	}
	time.AfterFunc(10*time.Millisecond, s.Interrupt)
	if err := s.ReceiveMany(m, true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("interrupted: %v", err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
}

func TestKernelReceiveManyOverrun(t *testing.T) {
	ns, s := listen(t)
	if _, err := s.SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	overruns := 0
	s.Overrun = func() { overruns++ }
	send(t, ns, 100, 20)
	m := NewMany(make([]byte, 200*1024), 1024)
	n := 0
	for {
		if err := s.ReceiveMany(m, false); err != nil {
			t.Fatal(err)
		}
		if m.Len() == 0 {
			break
		}
		n += m.Len()
	}
	if overruns == 0 || n == 0 || n >= 100 {
		t.Errorf("%d packets, %d overruns", n, overruns)
	}
}

func TestKernelReceiveManyAllocatesNothing(t *testing.T) {
	ns, s := listen(t)
	m := NewMany(make([]byte, 4*1024), 1024)
	send(t, ns, 100, 20)
	n := 0
	if allocs := testing.AllocsPerRun(20, func() {
		if err := s.ReceiveMany(m, false); err != nil {
			t.Fatal(err)
		}
		n += m.Len()
	}); allocs != 0 || n != 4*21 {
		t.Errorf("%v allocations, %d packets", allocs, n)
	}
	if _, _, ok := nflog.NextMessage(m.At(0)); !ok {
		t.Error("no message")
	}
}
