package event

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// part is a plugin in a few words: the keys that it gives, those that it needs,
// those that it reads if they are there ("name?"), and those of which it reads a
// part ("name:12"). With all it reads every key whose name does not begin with "x".
type part struct {
	gives, reads []string
	all          bool

	out, in  []Slot
	bound    []Bound
	extents  []int
	finished int
}

func (p *part) Bind(b *Binder) {
	p.out, p.in = make([]Slot, len(p.gives)), make([]Slot, len(p.reads))
	p.extents = make([]int, len(p.gives))
	for i, name := range p.gives {
		b.Out(&p.out[i], Key{Name: name, Kind: U32})
		b.Extent(&p.extents[i], name)
	}
	for i, name := range p.reads {
		if name, ok := strings.CutSuffix(name, "?"); ok {
			b.Optional(&p.in[i], name, U32)
		} else if name, ok := strings.CutSuffix(name, ":12"); ok {
			b.InPart(&p.in[i], name, U32, 12)
		} else {
			b.In(&p.in[i], name, U32)
		}
	}
	if p.all {
		b.All(&p.bound, func(k Key) bool { return !strings.HasPrefix(k.Name, "x") })
	}
	b.After(func() { p.finished++ })
}

// keys are the names and slots of what a wildcard got.
func (p *part) keys() (names []string, slots []Slot) {
	for _, k := range p.bound {
		names, slots = append(names, k.Name), append(slots, k.Slot)
	}
	return names, slots
}

// plant makes a tree of a source and its stacks.
func plant(t *testing.T, source *part, stacks ...[]*part) Layout {
	t.Helper()
	tree := NewTree("source", source)
	for _, stack := range stacks {
		var names []string
		var list []Bindable
		for _, p := range stack {
			names, list = append(names, "p"), append(list, p)
		}
		if err := tree.Stack(names, list); err != nil {
			t.Fatal(err)
		}
	}
	return tree.Layout()
}

func TestNearestPublisherWins(t *testing.T) {
	source := &part{gives: []string{"a", "b"}}
	first := &part{gives: []string{"a"}, reads: []string{"a"}}
	second := &part{gives: []string{"a"}, reads: []string{"a", "b"}}
	sink := &part{reads: []string{"a"}}
	l := plant(t, source, []*part{first, second, sink})
	if first.in[0] != source.out[0] || second.in[0] != first.out[0] || sink.in[0] != second.out[0] || second.in[1] != source.out[1] {
		t.Errorf("source %v, first %v <- %v, second %v <- %v, sink <- %v", source.out, first.out, first.in, second.out, second.in, sink.in)
	}
	if want := (Layout{Width: int(firstSlot) + 4, Source: int(firstSlot) + 2}); l != want {
		t.Errorf("layout %+v, want %+v", l, want)
	}
	for _, p := range []*part{source, first, second, sink} {
		if p.finished != 1 {
			t.Errorf("After was called %d times, want once", p.finished)
		}
	}
}

func TestAbsentAndUnused(t *testing.T) {
	source := &part{gives: []string{"a", "b"}}
	sink := &part{reads: []string{"b", "c?", "a:12"}}
	other := &part{gives: []string{"d"}}
	plant(t, source, []*part{other, sink})
	if sink.in[1] != Absent || other.out[0] != Unused {
		t.Errorf("c is read from %d, d is written to %d; want %d and %d", sink.in[1], other.out[0], Absent, Unused)
	}
	if source.out[0] == source.out[1] || source.out[0] < firstSlot || source.out[1] < firstSlot {
		t.Errorf("the source's slots are %v, want two of their own", source.out)
	}
}

func TestOwnKeyIsNotUpstream(t *testing.T) {
	p := &part{gives: []string{"a"}, reads: []string{"a?"}, all: true}
	plant(t, &part{}, []*part{p})
	if names, _ := p.keys(); p.in[0] != Absent || len(names) != 0 {
		t.Errorf("a plugin reads its own key: %v, %q", p.in, names)
	}
}

func TestWildcard(t *testing.T) {
	source := &part{gives: []string{"a", "xa", "b"}}
	filter := &part{gives: []string{"c", "a", "xb"}}
	sink := &part{all: true}
	plant(t, source, []*part{filter, sink})
	names, slots := sink.keys()
	if diff := cmp.Diff([]string{"a", "b", "c", "a"}, names); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	want := []Slot{filter.out[1], source.out[2], filter.out[0], filter.out[1]}
	if diff := cmp.Diff(want, slots); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
	// Nobody reads the source's a, since the filter's covers it.
	if source.out[0] != Unused || source.out[1] != Unused || filter.out[2] != Unused {
		t.Errorf("unread keys have slots %d, %d, %d, want %d", source.out[0], source.out[1], filter.out[2], Unused)
	}
}

func TestExtent(t *testing.T) {
	tests := []struct {
		name   string
		stacks [][]*part
		want   int
	}{
		{"nobody", nil, 0},
		{"part", [][]*part{{{reads: []string{"a:12"}}}}, 12},
		{"all of it", [][]*part{{{reads: []string{"a:12"}}, {reads: []string{"a"}}}}, Whole},
		{"optional", [][]*part{{{reads: []string{"a?"}}}}, Whole},
		{"wildcard", [][]*part{{{all: true}}}, Whole},
		{"in another stack", [][]*part{{{reads: []string{"a:12"}}}, {{reads: []string{"a"}}}}, Whole},
		{"covered", [][]*part{{{gives: []string{"a"}}, {reads: []string{"a"}}}}, 0},
	}
	for _, tt := range tests {
		source := &part{gives: []string{"a"}}
		plant(t, source, tt.stacks...)
		if source.extents[0] != tt.want {
			t.Errorf("%s: extent %d, want %d", tt.name, source.extents[0], tt.want)
		}
		if used := source.out[0] != Unused; used != (tt.want > 0) {
			t.Errorf("%s: slot %d with extent %d", tt.name, source.out[0], tt.want)
		}
	}
}

// TestStacksShareTheSource shows that the slots of two stacks overlap, and that
// Rows clears them in between.
func TestStacksShareTheSource(t *testing.T) {
	source := &part{gives: []string{"a"}}
	one, oneSink := &part{gives: []string{"b", "c"}}, &part{reads: []string{"a", "b", "c"}}
	two, twoSink := &part{gives: []string{"d"}}, &part{reads: []string{"a", "d", "b?"}}
	l := plant(t, source, []*part{one, oneSink}, []*part{two, twoSink})
	if one.out[0] != two.out[0] || twoSink.in[2] != Absent || oneSink.in[0] != twoSink.in[0] {
		t.Errorf("slots %v and %v, sinks %v and %v", one.out, two.out, oneSink.in, twoSink.in)
	}
	if want := (Layout{Width: int(firstSlot) + 3, Source: int(firstSlot) + 1}); l != want {
		t.Fatalf("layout %+v, want %+v", l, want)
	}
	batch := NewBatch(l)
	batch.Add().Set(source.out[0], U32, 7)
	for e := range batch.Rows().All() {
		e.Set(one.out[0], U32, 8)
	}
	for e := range batch.Rows().All() {
		if e.Uint(twoSink.in[0]) != 7 || e.Has(twoSink.in[1]) {
			t.Errorf("the second stack sees %v, want the source's value and nothing of the first's", e)
		}
	}
}

func TestMissingKey(t *testing.T) {
	source := &part{gives: []string{"a"}}
	tree := NewTree("source", source)
	err := tree.Stack([]string{"good", "bad"}, []Bindable{&part{gives: []string{"b"}, reads: []string{"a"}}, &part{reads: []string{"b", "c"}}})
	var missing *MissingKeyError
	if !errors.As(err, &missing) || *missing != (MissingKeyError{"bad", "c"}) || err.Error() != "bad: cannot find key `c' in stack" {
		t.Fatalf("error %v, want the instance bad and the key c", err)
	}
	if l := tree.Layout(); l != (Layout{int(firstSlot), int(firstSlot)}) || source.out[0] != Unused {
		t.Errorf("the refused stack left its marks: layout %+v, slot %d", l, source.out[0])
	}
}

func TestDeclarations(t *testing.T) {
	var b Binder
	(&part{gives: []string{"a"}, reads: []string{"b", "c?"}, all: true}).Bind(&b)
	in := b.Inputs()
	if len(in) != 2 || in[0].Name != "b" || in[0].Optional || in[1].Name != "c" || !in[1].Optional {
		t.Errorf("inputs %+v", in)
	}
	if keys := b.Keys(); len(keys) != 1 || keys[0].Name != "a" || !b.Wildcard() {
		t.Errorf("keys %+v, wildcard %v", b.Keys(), b.Wildcard())
	}
}

// TestRebind: an instance may ask for other keys than at first.
func TestRebind(t *testing.T) {
	source := &part{gives: []string{"a", "b", "c"}}
	output := &part{reads: []string{"b?"}}
	tree := NewTree("source", source)
	if err := tree.Stack([]string{"output"}, []Bindable{output}); err != nil {
		t.Fatal(err)
	}
	if l := tree.Layout(); l.Source != int(firstSlot)+1 || source.out[0] != Unused || output.in[0] != source.out[1] {
		t.Fatalf("layout %+v, source %v, output %v: want one key, b", l, source.out, output.in)
	}
	output.reads = []string{"c?", "a?", "z?"}
	l := tree.Rebind()
	if l.Source != int(firstSlot)+2 || source.out[1] != Unused {
		t.Errorf("layout %+v, source %v: want two keys, not b", l, source.out)
	}
	if want := []Slot{source.out[2], source.out[0], Absent}; !slices.Equal(output.in, want) {
		t.Errorf("output reads %v, want %v", output.in, want)
	}
	if source.finished != 2 || output.finished != 2 {
		t.Errorf("finished %d and %d times, want twice", source.finished, output.finished)
	}
}
