package plugin

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// Info describes a plugin.
type Info struct {
	Name    string // as stacks write it, such as "LOGEMU"
	Summary string // half a sentence
	Takes   Type   // zero for a source
	Gives   Type   // zero for an output
}

// Spec is all that is known of a plugin before it is configured.
type Spec struct {
	Info
	// Options are the plugin's options, in ulogd's order, ours at the end.
	Options []option.Field

	check    error
	describe func() (event.Bindable, error)
	open     func(s option.Section, strict bool, env *Env) (event.Bindable, []error, error)
}

// NewSource describes a source. Open receives the options as configured; it
// checks them and touches nothing yet.
func NewSource[O any](info Info, defaults O, open func(O, *Env) (Source, error)) Spec {
	return newSpec(info, defaults, func(o O, env *Env) (event.Bindable, error) { return open(o, env) })
}

// NewFilter describes a filter.
func NewFilter[O any](info Info, defaults O, open func(O, *Env) (Filter, error)) Spec {
	return newSpec(info, defaults, func(o O, env *Env) (event.Bindable, error) { return open(o, env) })
}

// NewOutput describes an output.
func NewOutput[O any](info Info, defaults O, open func(O, *Env) (Output, error)) Spec {
	return newSpec(info, defaults, func(o O, env *Env) (event.Bindable, error) { return open(o, env) })
}

// A Validator is an options struct that can tell whether what is configured will
// do, where the defaults alone would not.
type Validator interface{ Validate() error }

// NoOptions is the options of a plugin that has none.
type NoOptions struct{}

func newSpec[O any](info Info, defaults O, open func(O, *Env) (event.Bindable, error)) Spec {
	return Spec{
		Info:    info,
		Options: option.Fields(defaults),
		check:   option.Check(defaults),
		describe: func() (event.Bindable, error) {
			return open(defaults, &Env{
				Instance: info.Name, Log: slog.New(slog.DiscardHandler), Stats: new(stats.Set),
				Now: time.Now, Zone: time.UTC, Files: new(outfile.Set),
			})
		},
		open: func(s option.Section, strict bool, env *Env) (event.Bindable, []error, error) {
			o := defaults
			warnings, err := option.Apply(&o, s, strict)
			if err != nil {
				return nil, warnings, err
			}
			if v, ok := any(o).(Validator); ok {
				if err := v.Validate(); err != nil {
					return nil, warnings, fmt.Errorf("[%s] %w", s.Name, err)
				}
			}
			x, err := open(o, env)
			return x, warnings, err
		},
	}
}

// Describe makes an instance with the default options, to ask it for its keys
// and not to run.
func (s Spec) Describe() (event.Bindable, error) { return s.describe() }

// Open makes an instance with the options of a section. The result is a Source,
// a Filter or an Output. What ulogd would have put up with comes back as warnings.
func (s Spec) Open(section option.Section, strict bool, env *Env) (x event.Bindable, warnings []error, err error) {
	return s.open(section, strict, env)
}

// Registry is the plugins that stacks may name. The zero Registry is empty. It
// is filled by init functions and only read afterwards.
type Registry struct {
	specs map[string]Spec
}

// Default is where the plugins of this module register themselves.
var Default = new(Registry)

// Register adds a plugin. It panics on an empty or duplicate name, and on an
// options struct that package option can't read: these are errors of the program.
func (r *Registry) Register(s Spec) {
	if _, taken := r.specs[s.Name]; taken || s.Name == "" {
		panic(fmt.Sprintf("plugin %q: the name is empty or taken", s.Name))
	}
	if s.check != nil {
		panic(fmt.Sprintf("plugin %s: %v", s.Name, s.check))
	}
	if r.specs == nil {
		r.specs = make(map[string]Spec)
	}
	r.specs[s.Name] = s
}

// Lookup is the plugin of that name.
func (r *Registry) Lookup(name string) (Spec, error) {
	if s, ok := r.specs[name]; ok {
		return s, nil
	}
	if known := strings.TrimSpace(name); r.specs[known].Name != "" {
		return Spec{}, fmt.Errorf("can't find requested plugin %s; write %s, as blanks are a part of the name", name, known)
	}
	return Spec{}, fmt.Errorf("can't find requested plugin %s; known are %s", name, strings.Join(r.Names(), ", "))
}

// Names are the names of all plugins, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.specs)) }
