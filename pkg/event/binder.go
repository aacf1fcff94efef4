package event

import (
	"fmt"
	"slices"
)

// Field is the number of an IPFIX information element; Vendor 0 is the IETF's.
// The zero Field means that there is none.
type Field struct {
	Vendor uint32
	ID     uint16
}

// Netfilter is the IPFIX enterprise number under which ulogd exports elements of
// its own.
const Netfilter = 21373

// Key declares a value that a plugin publishes.
type Key struct {
	Name  string // such as "ip.saddr"; unique within a plugin
	Kind  Kind   // of its values; Addr for addresses
	Doc   string // what it means, in a few words
	IPFIX Field
	JSON  string // its name in JSON, if that is not Name
	// Extra marks a key that ulogd does not have. Outputs that write every
	// key leave it out unless they are told otherwise.
	Extra bool
}

// Input is what a plugin declares to read.
type Input struct {
	Name     string
	Kind     Kind // as `ulogd -i` prints it; not checked against the publisher's
	Optional bool

	slot   *Slot
	extent int
}

// Bound is a key together with where its values are.
type Bound struct {
	Key
	Slot Slot
}

// Whole is the extent of a key of which some plugin reads every byte.
const Whole = 1 << 30

// Binder takes the keys of one instance, by pointer as package flag takes
// options, and fills in the slots when the whole tree of stacks is known.
type Binder struct {
	name    string
	bound   Bindable
	keys    []output
	inputs  []Input
	all     []wildcard
	extents []extent
	after   []func()
}

type output struct {
	slot *Slot
	key  Key

	place  Slot // its slot once somebody reads it
	extent int  // how many bytes of it are read
}

type wildcard struct {
	dst  *[]Bound
	want func(Key) bool
}

type extent struct {
	dst  *int
	name string
}

// Out declares a key that the instance publishes. Its slot becomes Unused unless
// somebody reads it.
func (b *Binder) Out(s *Slot, k Key) { b.keys = append(b.keys, output{slot: s, key: k}) }

// In declares a key that the instance needs: the stack is refused unless
// somebody before it publishes the key.
func (b *Binder) In(s *Slot, name string, k Kind) {
	b.inputs = append(b.inputs, Input{Name: name, Kind: k, slot: s, extent: Whole})
}

// Optional declares a key that the instance reads if it is there. Its slot
// becomes Absent if nobody before it publishes the key.
func (b *Binder) Optional(s *Slot, name string, k Kind) {
	b.inputs = append(b.inputs, Input{Name: name, Kind: k, Optional: true, slot: s, extent: Whole})
}

// InPart is like In for a key of raw bytes of which the instance looks only at
// the first n.
func (b *Binder) InPart(s *Slot, name string, k Kind, n int) {
	b.inputs = append(b.inputs, Input{Name: name, Kind: k, slot: s, extent: n})
}

// All declares that the instance reads every key that it wants: dst becomes the
// keys of all plugins before it, in the order of the stack and of their
// declaration. A name that is published twice appears twice, and both have the
// slot of the publisher that is nearest.
func (b *Binder) All(dst *[]Bound, want func(Key) bool) {
	b.all = append(b.all, wildcard{dst, want})
}

// Extent declares that dst receives the number of bytes of the instance's own
// key that its readers look at: 0 if nobody reads it, Whole if somebody wants
// all of it.
func (b *Binder) Extent(dst *int, name string) { b.extents = append(b.extents, extent{dst, name}) }

// After declares a function that is called when all slots are filled in.
func (b *Binder) After(f func()) { b.after = append(b.after, f) }

// Keys are the declared outputs, for documentation.
func (b *Binder) Keys() []Key {
	keys := make([]Key, len(b.keys))
	for i := range b.keys {
		keys[i] = b.keys[i].key
	}
	return keys
}

// Inputs are the declared inputs, for documentation.
func (b *Binder) Inputs() []Input { return slices.Clone(b.inputs) }

// Wildcard tells whether the instance reads every key.
func (b *Binder) Wildcard() bool { return len(b.all) > 0 }

// Bindable is anything that declares keys.
type Bindable interface{ Bind(*Binder) }

// Layout is the shape of a tree's events: Width values, of which the first
// Source belong to the source.
type Layout struct{ Width, Source int }

// Tree gives slots to the instances of all stacks that hang on one source. The
// instances of one stack never see the keys of another; only the source's are
// shared, and the stacks' own slots overlap, since a batch passes one stack after
// the other.
type Tree struct {
	source *Binder
	stacks [][]*Binder // without the source
}

// NewTree starts a tree at its source.
func NewTree(name string, source Bindable) *Tree {
	return &Tree{source: bind(name, source)}
}

func bind(name string, x Bindable) *Binder {
	b := &Binder{name: name, bound: x}
	x.Bind(b)
	return b
}

// Rebind asks all instances for their keys again, and fills in the slots anew.
// Batches of the old layout are of no more use. An instance may declare other
// keys than before, as long as those that it needs were published before.
func (t *Tree) Rebind() Layout {
	t.source = bind(t.source.name, t.source.bound)
	for _, stack := range t.stacks {
		for i, b := range stack {
			stack[i] = bind(b.name, b.bound)
		}
	}
	return t.Layout()
}

// A MissingKeyError says that nobody before an instance publishes a key that it needs.
type MissingKeyError struct {
	Instance, Key string
}

func (e *MissingKeyError) Error() string {
	return fmt.Sprintf("%s: cannot find key `%s' in stack", e.Instance, e.Key)
}

// Stack binds the instances behind the source, in order. If one of them needs a
// key that nobody publishes, the result is a *MissingKeyError and the tree is
// as it was before.
func (t *Tree) Stack(names []string, instances []Bindable) error {
	stack := make([]*Binder, len(instances))
	for i, x := range instances {
		stack[i] = bind(names[i], x)
		upstream := append([]*Binder{t.source}, stack[:i]...)
		for _, in := range stack[i].inputs {
			if !in.Optional && nearest(upstream, in.Name) == nil {
				return &MissingKeyError{names[i], in.Name}
			}
		}
	}
	t.stacks = append(t.stacks, stack)
	return nil
}

// nearest finds the publisher that stands last, as ulogd does.
func nearest(upstream []*Binder, name string) *output {
	for _, b := range slices.Backward(upstream) {
		for i := range b.keys {
			if b.keys[i].key.Name == name {
				return &b.keys[i]
			}
		}
	}
	return nil
}

// Layout fills in the slots of all instances. It is called after the last Stack.
func (t *Tree) Layout() Layout {
	for _, stack := range t.stacks {
		t.mark(stack)
	}
	next := t.source.place(firstSlot)
	l := Layout{Width: int(next), Source: int(next)}
	for _, stack := range t.stacks {
		end := next
		for _, b := range stack {
			end = b.place(end)
		}
		l.Width = max(l.Width, int(end))
	}
	t.source.finish()
	for _, stack := range t.stacks {
		for i, b := range stack {
			b.connect(append([]*Binder{t.source}, stack[:i]...))
			b.finish()
		}
	}
	return l
}

// mark notes which keys the instances of a stack read, and how much of them.
func (t *Tree) mark(stack []*Binder) {
	for i, b := range stack {
		upstream := append([]*Binder{t.source}, stack[:i]...)
		for _, in := range b.inputs {
			if o := nearest(upstream, in.Name); o != nil {
				o.extent = max(o.extent, in.extent)
			}
		}
		for _, w := range b.all {
			for _, k := range w.keys(upstream) {
				nearest(upstream, k.Name).extent = Whole
			}
		}
	}
}

// place gives a slot to each key that is read, from next on.
func (b *Binder) place(next Slot) Slot {
	for i := range b.keys {
		b.keys[i].place = Unused
		if b.keys[i].extent > 0 {
			b.keys[i].place = next
			next++
		}
		*b.keys[i].slot = b.keys[i].place
	}
	return next
}

func (b *Binder) connect(upstream []*Binder) {
	for _, in := range b.inputs {
		*in.slot = Absent
		if o := nearest(upstream, in.Name); o != nil {
			*in.slot = o.place
		}
	}
	for _, w := range b.all {
		*w.dst = (*w.dst)[:0]
		for _, k := range w.keys(upstream) {
			*w.dst = append(*w.dst, Bound{k, nearest(upstream, k.Name).place})
		}
	}
}

func (w wildcard) keys(upstream []*Binder) (keys []Key) {
	for _, b := range upstream {
		for _, o := range b.keys {
			if w.want(o.key) {
				keys = append(keys, o.key)
			}
		}
	}
	return keys
}

func (b *Binder) finish() {
	for _, x := range b.extents {
		for _, o := range b.keys {
			if o.key.Name == x.name {
				*x.dst = o.extent
			}
		}
	}
	for _, f := range b.after {
		f()
	}
}
