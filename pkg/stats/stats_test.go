package stats

import (
	"sync"
	"testing"
)

func TestCounters(t *testing.T) {
	var r Registry
	a, b := r.Set("log1"), r.Set("log1")
	if got := r.Sets(); a == b || len(got) != 2 || got[0] != a || got[1] != b {
		t.Fatalf("sets %v, want two of the same name", got)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				a.Counter("rows", "rows that came").Add(2)
			}
		})
	}
	wg.Wait()
	a.Counter("lost", "rows that went").Add(1)
	got := a.Counters()
	if len(got) != 2 || got[0].Name != "rows" || got[0].Doc != "rows that came" || got[0].Value() != 16000 || got[1].Name != "lost" || got[1].Value() != 1 {
		t.Errorf("counters %+v, want rows 16000 and lost 1, in that order", got)
	}
	if len(b.Counters()) != 0 {
		t.Error("the other set of that name has counters")
	}
}
