// Package pipeline makes the stacks of a configuration and runs them: one
// goroutine for each source with the filters and encoders behind it, and one for
// each output that delivers.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/fdstore"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// Env is what the daemon lends the pipeline. All fields but Owner are needed.
type Env struct {
	Log      *slog.Logger
	Stats    *stats.Registry
	Now      func() time.Time
	Zone     *time.Location
	Hostname string
	Owner    *outfile.Owner // of the files that outputs create; nil for whoever runs the daemon
	Store    *fdstore.Store // where sockets are kept for the next process; nil if nowhere
	State    string         // directory for what outlives the daemon; empty if there is none
}

// Pipeline is the stacks of a daemon. Reopen, Dump and Report may be called
// concurrently with Run; otherwise its methods are for one goroutine.
type Pipeline struct {
	env    Env
	files  outfile.Set
	trees  []*tree
	failed int             // stacks that could not be built
	empty  int             // stacks without elements, which ulogd counts as working
	queues map[string]bool // names of queues that are taken
}

// tree is a source and the stacks that hang on it.
type tree struct {
	name, plugin string
	source       plugin.Source
	gives        plugin.Type
	keys         *event.Tree
	layout       event.Layout
	stacks       []*stack
	open         bool
	broken       error       // why the source could not be opened
	rebind       atomic.Bool // an instance wants other keys
}

// stack is what follows a source.
type stack struct {
	text    string
	stages  []stage
	runners []*runner
}

// stage is one element of a stack behind the source: a filter, or an output
// with its runner.
type stage struct {
	filter plugin.Filter
	runner *runner
}

// ErrNoStack says that there is nothing to run.
var ErrNoStack = errors.New("not even a single working plugin stack")

// Build makes the instances of all stacks and gives each key that is read a
// slot. A stack that fails is logged and left out, as in ulogd. Nothing outside
// the process is touched.
func Build(f *config.File, r *plugin.Registry, env Env) (*Pipeline, error) {
	p := &Pipeline{env: env, queues: map[string]bool{}}
	p.files.Owner = env.Owner
	for _, s := range f.Stacks {
		env.Log.Log(context.Background(), logging.Notice, fmt.Sprintf("building new pluginstance stack: '%s'", s.Text))
		if len(s.Instances) == 0 && s.Err == nil {
			p.empty++
			continue
		}
		if err := p.add(f, r, s); err != nil {
			env.Log.Error(fmt.Sprintf("%s:%d: stack %q: %v", f.Name, s.Line, s.Text, err))
			p.failed++
		}
	}
	if len(p.trees) == 0 && p.empty == 0 {
		return nil, ErrNoStack
	}
	for _, t := range p.trees {
		t.layout = t.keys.Layout()
	}
	return p, nil
}

// Failed is the number of stacks that were left out.
func (p *Pipeline) Failed() int { return p.failed }

// builder makes the instances of one stack.
type builder struct {
	file     *config.File
	registry *plugin.Registry
	pipeline *Pipeline
}

func (p *Pipeline) add(f *config.File, r *plugin.Registry, s config.Stack) error {
	if s.Err != nil {
		return s.Err
	}
	bld := builder{f, r, p}
	specs, err := bld.specs(s.Instances)
	if err != nil {
		return err
	}
	t, err := bld.tree(s.Instances[0], specs[0])
	if err != nil {
		return err
	}
	st := &stack{text: s.Text}
	var names []string
	var instances []event.Bindable
	previous := specs[0]
	for i, spec := range specs[1:] {
		in := s.Instances[i+1]
		x, err := bld.open(in, spec, t)
		if err != nil {
			return err
		}
		if spec.Takes&previous.Gives == 0 && previous.Gives != 0 {
			p.env.Log.Info(fmt.Sprintf("type mismatch between %s and %s in stack; it works all the same", spec.Name, previous.Name))
		}
		if spec.Gives != 0 {
			previous = spec
		}
		names, instances = append(names, in.Name), append(instances, x)
		st.add(x)
	}
	if err := t.keys.Stack(names, instances); err != nil {
		return explain(err, r, s.Instances)
	}
	if len(t.stacks) == 0 {
		p.trees = append(p.trees, t)
	}
	t.stacks = append(t.stacks, st)
	return nil
}

// specs looks up the plugins of a stack and checks that its ends are right.
func (bld builder) specs(instances []config.Instance) ([]plugin.Spec, error) {
	var specs []plugin.Spec
	for _, in := range instances {
		spec, err := bld.registry.Lookup(in.Plugin)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	first, last := specs[0], specs[len(specs)-1]
	if last.Gives != 0 {
		return nil, fmt.Errorf("last plugin in stack has to be output plugin: %s is none; end the stack with one such as LOGEMU", last.Name)
	}
	if first.Takes != 0 {
		return nil, fmt.Errorf("first plugin in stack has to be source plugin: %s is none; begin the stack with one such as NFLOG", first.Name)
	}
	for _, spec := range specs[1:] {
		if spec.Takes == 0 {
			return nil, fmt.Errorf("source plugin %s has to be the first in its stack", spec.Name)
		}
	}
	return specs, nil
}

// tree is that of an earlier source with the same name, or a new one.
func (bld builder) tree(in config.Instance, spec plugin.Spec) (*tree, error) {
	for _, t := range bld.pipeline.trees {
		if t.name == in.Name && t.plugin == in.Plugin {
			bld.pipeline.env.Log.Info(in.Name + " instance already loaded")
			return t, nil
		}
	}
	x, err := bld.open(in, spec, nil)
	if err != nil {
		return nil, err
	}
	source := x.Bindable.(plugin.Source)
	return &tree{
		name: in.Name, plugin: in.Plugin, source: source, gives: spec.Gives,
		keys: event.NewTree(in.Name, source),
	}, nil
}

// opened is an instance with what it needs to run.
type opened struct {
	event.Bindable
	env *plugin.Env
}

// open makes an instance with the options of its section. A section that is
// missing is one without options.
func (bld builder) open(in config.Instance, spec plugin.Spec, t *tree) (opened, error) {
	p := bld.pipeline
	env := &plugin.Env{
		Instance: in.Name,
		Log:      p.env.Log.With("instance", in.Name),
		Stats:    p.env.Stats.Set(in.Name),
		Now:      p.env.Now,
		Zone:     p.env.Zone,
		Hostname: p.env.Hostname,
		Files:    &p.files,
	}
	if p.env.Store != nil {
		env.Store = p.env.Store
	}
	if t != nil {
		env.Source, env.Input, env.Rebind = t.source, t.gives, t.requestRebind
	}
	if spec.Gives == 0 {
		env.State, env.Queue = p.env.State, p.queueName(in.Name)
	}
	x, warnings, err := spec.Open(bld.file.Section(in.Name), bld.file.Global.Strict, env)
	for _, w := range warnings {
		env.Log.Warn(w.Error())
	}
	if err != nil {
		return opened{}, fmt.Errorf("error during configure of plugin %s: %w", spec.Name, err)
	}
	return opened{x, env}, nil
}

// queueName is the name of the queue of an output. An instance that stands in
// several stacks has a queue in each, of a name that no other instance's has.
func (p *Pipeline) queueName(instance string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '_'
		}
		return r
	}, instance)
	if strings.HasPrefix(name, ".") {
		name = "_" + name // "." and ".." are directories
	}
	free := name
	for n := 2; p.queues[free]; n++ {
		free = fmt.Sprintf("%s.%d", name, n)
	}
	p.queues[free] = true
	return free
}

func (s *stack) add(o opened) {
	switch x := o.Bindable.(type) {
	case plugin.Filter:
		s.stages = append(s.stages, stage{filter: x})
	case plugin.Output:
		run := newRunner(x, o.env)
		s.runners = append(s.runners, run)
		s.stages = append(s.stages, stage{runner: run})
	}
}

// explain adds to a missing key the plugins that would publish it.
func explain(err error, r *plugin.Registry, instances []config.Instance) error {
	var missing *event.MissingKeyError
	if !errors.As(err, &missing) {
		return err
	}
	var name string
	for _, in := range instances {
		if in.Name == missing.Instance {
			name = in.Plugin
		}
	}
	if list := publishers(r, missing.Key); len(list) > 0 {
		return fmt.Errorf("%w: no plugin before %s provides it; add %s", err, name, strings.Join(list, " or "))
	}
	return fmt.Errorf("%w: no plugin provides it", err)
}

// publishers are the filters that publish a key, by name.
func publishers(r *plugin.Registry, key string) []string {
	var list []string
	for _, name := range r.Names() {
		spec, err := r.Lookup(name)
		if err != nil || spec.Takes == 0 || spec.Gives == 0 {
			continue
		}
		var b event.Binder
		if x, err := spec.Describe(); err == nil {
			x.Bind(&b)
		}
		for _, k := range b.Keys() {
			if k.Name == key {
				list = append(list, name)
				break
			}
		}
	}
	return list
}

// Start opens the sources and connects the outputs, stack by stack. A stack that
// can't be started is logged and left out, and what it alone had opened is
// closed again.
func (p *Pipeline) Start(ctx context.Context) error {
	working := p.empty
	for _, t := range p.trees {
		var started []*stack
		for _, s := range t.stacks {
			if err := p.start(ctx, t, s); err != nil {
				p.env.Log.Error(err.Error(), "stack", s.text)
				p.failed++
				continue
			}
			started = append(started, s)
		}
		t.stacks = started
		if len(started) == 0 && t.open {
			t.close(p.env.Log)
		}
		working += len(started)
	}
	if working == 0 {
		return ErrNoStack
	}
	if err := p.env.Store.Prune(); err != nil {
		p.env.Log.Warn(err.Error())
	}
	return nil
}

func (p *Pipeline) start(ctx context.Context, t *tree, s *stack) error {
	if !t.open && t.broken == nil {
		t.broken = t.source.Open()
		t.open = t.broken == nil
	}
	if t.broken != nil {
		return fmt.Errorf("error starting `%s': %w", t.name, t.broken)
	}
	for i, r := range s.runners {
		if err := r.start(ctx); err != nil {
			for _, up := range s.runners[:i] {
				up.close()
			}
			return fmt.Errorf("error starting `%s': %w", r.env.Instance, err)
		}
	}
	return nil
}

func (t *tree) close(log *slog.Logger) {
	t.open = false
	if err := t.source.Close(); err != nil {
		log.Error(fmt.Sprintf("close: %v", err), "instance", t.name)
	}
}

// drainTime is how long outputs have to deliver what is left when the daemon ends.
const drainTime = 5 * time.Second

// Run passes events until ctx ends or all sources have ended, and lets the
// outputs deliver what they have. Without sources it waits for ctx.
func (p *Pipeline) Run(ctx context.Context) error {
	var outputs, sources sync.WaitGroup
	deliver, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	for _, t := range p.trees {
		for _, s := range t.stacks {
			for _, r := range s.runners {
				outputs.Go(func() { r.run(deliver) })
			}
		}
	}
	for _, t := range p.trees {
		if t.open {
			sources.Go(func() { t.run(ctx, p.env.Log) })
		}
	}
	if p.empty > 0 {
		<-ctx.Done()
	}
	sources.Wait()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, stop) })()
	outputs.Wait()
	return nil
}

// run is a source's goroutine.
func (t *tree) run(ctx context.Context, log *slog.Logger) {
	defer t.finish(log)
	batch := event.NewBatch(t.layout)
	for {
		for t.rebind.CompareAndSwap(true, false) { // an instance may change its mind at once
			batch = t.bindAnew()
		}
		err := t.source.Read(ctx, batch)
		t.pass(batch)
		batch.Reset()
		switch {
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, io.EOF):
			return
		default:
			log.Error(fmt.Sprintf("the source ends: %v", err), "instance", t.name)
			return
		}
	}
}

// requestRebind has the instances bound again before the source is next read, and
// sees to it that this is soon.
func (t *tree) requestRebind() {
	t.rebind.Store(true)
	if w, ok := t.source.(plugin.Waker); ok {
		w.Wake()
	}
}

// bindAnew gives each key that is read now a slot.
func (t *tree) bindAnew() *event.Batch {
	t.layout = t.keys.Rebind()
	for _, s := range t.stacks {
		for _, r := range s.runners {
			r.bound()
		}
	}
	return event.NewBatch(t.layout)
}

func (t *tree) finish(log *slog.Logger) {
	for _, s := range t.stacks {
		for _, r := range s.runners {
			r.refusing.Flush()
			r.queue.Close()
		}
	}
	t.close(log)
}

// pass takes a batch through all stacks.
func (t *tree) pass(batch *event.Batch) {
	if batch.Len() == 0 {
		return
	}
	for _, s := range t.stacks {
		rows := batch.Rows()
		for i := range s.stages {
			if st := &s.stages[i]; st.filter != nil {
				st.filter.Filter(rows)
			} else {
				st.runner.encode(rows)
			}
		}
	}
}

// Reopen makes the outputs open their files anew.
func (p *Pipeline) Reopen() {
	for _, t := range p.trees {
		for _, s := range t.stacks {
			for _, r := range s.runners {
				r.requestReopen()
			}
		}
	}
}

// Dump has the sources that can give at once what they would else give later.
func (p *Pipeline) Dump() {
	for _, t := range p.trees {
		if d, ok := t.source.(plugin.Dumper); ok {
			d.Dump()
		}
	}
}

// Report writes what was built.
func (p *Pipeline) Report(w io.Writer) {
	for _, t := range p.trees {
		for _, s := range t.stacks {
			fmt.Fprintf(w, "stack ok: %s\n", s.text)
		}
	}
	fmt.Fprintf(w, "%d stack(s) failed\n", p.failed)
}
