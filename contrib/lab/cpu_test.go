package lab

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestPinned(t *testing.T) {
	var before, inside, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !before.IsSet(cpu) {
		cpu++
	}
	err := Pinned(cpu, func() error { return unix.SchedGetaffinity(0, &inside) })
	if err != nil || inside.Count() != 1 || !inside.IsSet(cpu) {
		t.Errorf("pinned to %v, %v, want CPU %d only", inside, err, cpu)
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("afterwards on %v, %v, want %v", after, err, before)
	}
	if err := Pinned(1023, func() error { t.Error("ran"); return nil }); err == nil {
		t.Error("CPU 1023 was accepted")
	}
}
