// Package config reads the daemon's configuration: ulogd.conf in the grammar
// of ulogd 2.0.8, or TOML with the same names. A ulogd.conf of ulogd 1.x, which
// is told by its contents, is read as 1.24 did, and stacks take its place.
//
// It differs from 2.0.8 where nobody can have relied on it: lines may have any
// length, the last line needs no newline, a byte-order mark does not hide the first
// line, a key without a value is reported and ignored, and a section header needs its
// bracket.
package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// File is a configuration.
type File struct {
	Name    string
	Dialect Dialect
	Global  Global
	Stacks  []Stack
	// Sections are all sections as written, by name; "global" is one of them.
	// Those that no stack names are not checked.
	Sections map[string]option.Section
	Plugins  []PluginLine
	// Warnings are mistakes that ulogd 2.0.8, or 1.24, tolerated. In a strict file
	// they are errors of Parse.
	Warnings []error

	order      []string // of Sections that were not written one after the other
	nflogGroup *int     // in place of the ULOG group; nil if it is the same
}

// Global is the [global] section without its stacks and plugins.
type Global struct {
	Logfile     string // "stdout", "syslog", or a path
	LogfileSet  bool
	Loglevel    int // 1 debug, 3 info, 5 notice (the default), 7 error, 8 fatal
	LoglevelSet bool
	Strict      bool // turns warnings, the plugins' ones too, into errors
}

// PluginLine is a plugin = line.
type PluginLine struct {
	Path   string
	Plugin string // "LOGEMU" for ulogd_output_LOGEMU.so; "" if the name has another form
	Line   int
}

// globalOptions are the options of [global]; Plugin and Stack are there for
// their documentation, as they may be repeated.
type globalOptions struct {
	Logfile  string `toml:"logfile" doc:"where the daemon's own messages go: stdout, syslog, or a file; without it standard error"`
	Loglevel int    `toml:"loglevel" doc:"least level of the daemon's own messages: 1 debug, 3 info, 5 notice, 7 error, 8 fatal"`
	Plugin   string `toml:"plugin" doc:"plugins, by path as in ulogd, of which the file name counts; in TOML a list"`
	Stack    string `toml:"stack" doc:"instance:PLUGIN,instance:PLUGIN,... from a source to an output; may be repeated, in TOML a list"`
	Strict   bool   `toml:"strict" extra:"true" doc:"treat unknown options and other mistakes that ulogd 2.0.8 tolerated as errors"`
}

const global = "global"

var globalDefaults = globalOptions{Loglevel: 5}

// GlobalFields describes the options of [global].
func GlobalFields() []option.Field { return option.Fields(globalDefaults) }

// Parse reads a configuration: TOML if name ends in .toml, else ulogd.conf of either
// generation. The name is only used for that and in messages.
//
// Mistakes in one stack are left to its Err, so that the others can go on.
func Parse(name string, src []byte) (*File, error) {
	p := parser{File: File{Name: name, Sections: map[string]option.Section{}}}
	if err := p.parse(string(src)); err != nil {
		return nil, err
	}
	return &p.File, nil
}

func (p *parser) parse(src string) error {
	src = strings.TrimPrefix(src, "\ufeff") // a byte-order mark, which editors don't show
	if strings.TrimSpace(src) == "" {
		return p.globalMissing("the file is empty: add one")
	}
	read := p.conf
	if strings.EqualFold(path.Ext(p.Name), ".toml") {
		read = p.toml
	} else if p.Dialect = dialectOf(src); p.Dialect != V2 {
		return p.v1(src)
	}
	if err := read(src); err != nil {
		return err
	}
	return p.readGlobal()
}

// Section is the section of an instance. If there is none it has no entries.
func (f *File) Section(instance string) option.Section {
	if s, ok := f.Sections[instance]; ok {
		return s
	}
	return option.Section{Name: instance, File: f.Name}
}

// parser is a File in the making.
type parser struct {
	File
	doubts []doubt
}

// doubt is a warning that counts only if its section is used.
type doubt struct {
	section string
	err     error
}

func (p *parser) doubt(section string, line int, format string, args ...any) {
	p.doubts = append(p.doubts, doubt{section, p.errorf(line, format, args...)})
}

func (p *parser) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", p.Name, line, fmt.Errorf(format, args...))
}

// readGlobal interprets the [global] section.
func (p *parser) readGlobal() error {
	g, ok := p.Sections[global]
	if !ok {
		return p.noGlobal()
	}
	for _, e := range g.Entries {
		p.globalEntry(e)
	}
	single := g
	single.Entries = slices.DeleteFunc(slices.Clone(g.Entries), isList)
	o := globalDefaults
	warnings, err := option.Apply(&o, single, false)
	if err != nil {
		return err
	}
	p.Global.Logfile, p.Global.Loglevel, p.Global.Strict = o.Logfile, o.Loglevel, o.Strict
	p.Warnings = append(p.usedDoubts(), warnings...)
	if !o.Strict {
		return nil
	}
	_, err = option.Apply(&o, single, true) // for its wording
	return errors.Join(append(p.usedDoubts(), err)...)
}

func (p *parser) globalEntry(e option.Entry) {
	switch {
	case e.NoValue: // left to option.Apply
	case e.Name == "logfile":
		p.Global.LogfileSet = true
	case e.Name == "loglevel":
		p.Global.LoglevelSet = true
	case e.Name == "plugin":
		p.Plugins = append(p.Plugins, PluginLine{Path: e.Value, Plugin: pluginName(e.Value), Line: e.Line})
	case e.Name == "stack":
		p.stack(e)
	}
}

func (p *parser) stack(e option.Entry) {
	s := Stack{Text: e.Value, Line: e.Line}
	var err error
	if s.Instances, err = ParseStack(e.Value); err != nil {
		s.Err = p.errorf(e.Line, "[%s] stack = %q: %w", global, e.Value, err)
	}
	p.Stacks = append(p.Stacks, s)
}

// isList reports whether e is one of the options that may be repeated.
func isList(e option.Entry) bool {
	return !e.NoValue && (e.Name == "stack" || e.Name == "plugin")
}

func (p *parser) noGlobal() error {
	hint := "add one"
	if len(p.Sections) == 0 {
		hint = "a file without sections looks like ulogd 1.x or older: put its options into sections, the common ones into [global]"
	}
	return p.globalMissing(hint)
}

func (p *parser) globalMissing(hint string) error {
	return fmt.Errorf("%s: no [%s] section, so there is no stack; %s, with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON", p.Name, global, hint)
}

// usedDoubts are the doubts about [global] and about sections of instances.
func (p *parser) usedDoubts() []error {
	used := map[string]bool{global: true}
	for _, s := range p.Stacks {
		for _, i := range s.Instances {
			used[i.Name] = true
		}
	}
	var errs []error
	for _, d := range p.doubts {
		if used[d.section] {
			errs = append(errs, d.err)
		}
	}
	return errs
}

// pluginName is the plugin in a shared object's file name, such as
// ulogd_raw2packet_BASE.so.
func pluginName(file string) string {
	name, so := strings.CutSuffix(path.Base(file), ".so")
	name, ulogd := strings.CutPrefix(name, "ulogd_")
	kind, name, _ := strings.Cut(name, "_")
	if !so || !ulogd || kind == "" {
		return ""
	}
	return name
}
