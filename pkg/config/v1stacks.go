package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// v1 reads a configuration of ulogd 1.x and puts the stacks that do the same in
// its place: one for each output, behind a source that they share.
//
// See reference page "ulogd1", section 9.
func (p *parser) v1(src string) error {
	t := v1Translator{parser: p, r: newV1Reader(p.Name, src)}
	t.r.flat = p.Dialect == Flat
	if err := t.translate(); err != nil {
		return err
	}
	p.Warnings = t.r.sorted()
	return nil
}

// v1Translator makes stacks of the plugins that a file loads.
type v1Translator struct {
	*parser
	r      *v1Reader
	loaded []v1Loaded
}

// v1Loaded is a plugin and the line that loads it.
type v1Loaded struct {
	*V1Plugin
	line int
}

// v1Value is the value of an option of 1.x, as it applies here.
type v1Value struct {
	V1Option
	text string
	line int // 0 for a default
}

func (t *v1Translator) translate() error {
	g, ok := t.r.section(global)
	if !ok {
		return t.noGlobal()
	}
	t.Sections = map[string]option.Section{}
	values, err := t.values(global, V1Globals, g)
	if err != nil {
		return err
	}
	if err := t.globals(values); err != nil {
		return err
	}
	for _, o := range slices.Backward(t.loaded) {
		if o.Output {
			t.output(o)
		}
	}
	if len(t.Stacks) == 0 {
		t.r.warn(g.line, "no output plugin is loaded, so that there is nothing to do; 1.24 would run and write nothing; add a line such as plugin = /usr/lib/ulogd/ulogd_LOGEMU.so")
	}
	return nil
}

// values are the options of a section that 1.24 would see, with defaults for
// those that are not there.
func (t *v1Translator) values(section string, options []V1Option, s v1Section) ([]v1Value, error) {
	var values []v1Value
	seen := map[string]int{}
	where := "[" + section + "]"
	for _, e := range s.entries {
		i := slices.IndexFunc(options, func(o V1Option) bool { return o.Name == e.Name })
		if i < 0 {
			t.unknown(where, options, e)
			continue
		}
		o := options[i]
		if first, again := seen[e.Name]; again && o.Name != "plugin" {
			if section == global {
				return nil, t.errorf(e.Line, "option %q occurred more than once, on line %d before; 1.24 would not start either; remove one of the two lines", e.Name, first)
			}
			t.r.warn(e.Line, "%s %s: repeated, so that line %d counts and the rest of the section is not read, as in 1.24; remove one of the two lines", where, e.Name, first)
			break
		}
		seen[e.Name] = e.Line
		values = append(values, v1Value{o, t.r.check(where, o, e), e.Line})
	}
	for _, o := range options {
		if seen[o.Name] > 0 {
			continue
		}
		text, said := o.Default, "an empty text"
		if o.Mandatory && o.Number {
			text, said = "0", "0"
		}
		if o.Mandatory {
			t.r.warn(s.line, "%s %s: missing; 1.24 would take %s for it without a word; add it", where, o.Name, said)
		}
		if o.Mandatory || text != "" {
			values = append(values, v1Value{o, text, 0})
		}
	}
	return values, nil
}

// unknown warns of an option that 1.24 did not know either. The value stays
// unsaid: the name may be a misspelt secret one.
func (t *v1Translator) unknown(where string, options []V1Option, e option.Entry) {
	mend := "a comment needs its # in the first column"
	if !strings.HasPrefix(e.Name, "#") && !strings.HasPrefix(e.Name, ";") {
		names := make([]string, len(options))
		for i, o := range options {
			names[i] = o.Name
		}
		mend = "remove it, there are no options here"
		if len(names) > 0 {
			mend = "remove it, or use one of " + strings.Join(names, ", ")
		}
	}
	t.r.warn(e.Line, "%s %q: unknown option, ignored as in 1.24; %s", where, e.Name, mend)
}

// globals applies the options of [global] and finds the plugins.
func (t *v1Translator) globals(values []v1Value) error {
	t.set(global, global) // comes first in a converted file
	for _, v := range values {
		switch v.Name {
		case "nlgroup", "nflog_group":
			n, _ := strconv.Atoi(v.text) // it was written by check
			limit := 32
			if v.Name == "nflog_group" {
				limit = 65535
				t.nflogGroup = &n
			}
			if n < 1 && limit == 32 || n < 0 || n > limit {
				return t.errorf(v.line, "[global] %s = %s: there are the groups 1 to %d; 1.24 would run and receive nothing; use the number that the rules have", v.Name, v.text, limit)
			}
			if v.Name == "nlgroup" {
				t.set(v1Source.Name, v1Source.Name, option.Entry{Name: "nlgroup", Value: v.text, Line: v.line})
			}
		case "rmem", "bufsize":
			t.set(v1Source.Name, v1Source.Name, option.Entry{Name: v.Name, Value: v.text, Line: v.line})
		case "logfile":
			t.Global.Logfile, t.Global.LogfileSet = v.text, true
			t.set(global, global, option.Entry{Name: v.Name, Value: v.text, Line: v.line})
		case "loglevel":
			t.Global.Loglevel, _ = strconv.Atoi(v.text)
			t.Global.LoglevelSet = true
			t.set(global, global, option.Entry{Name: v.Name, Value: v.text, Line: v.line})
		case "plugin":
			t.load(v)
		}
	}
	return nil
}

// load notes a plugin. One that is unknown is skipped.
func (t *v1Translator) load(v v1Value) {
	p := findV1Plugin(v.text)
	if p == nil {
		mend := "remove the line"
		if pluginName(v.text) != "" {
			mend = "plugins of ulogd 2 need a stack"
		}
		t.r.warn(v.line, "load_plugins: '%s': there is no such plugin of ulogd 1.x, skipped as in 1.24; %s", v.text, mend)
		return
	}
	i := slices.IndexFunc(t.loaded, func(l v1Loaded) bool { return l.V1Plugin == p })
	if i >= 0 {
		t.r.warn(v.line, "plugin %s is loaded by line %d already, which counts, as in 1.24; remove one of the two lines", p.Name, t.loaded[i].line)
		return
	}
	t.loaded = append(t.loaded, v1Loaded{p, v.line})
}

// output adds the stack of an output.
func (t *v1Translator) output(o v1Loaded) {
	s := Stack{Line: o.line, Instances: []Instance{v1Source}}
	base := slices.IndexFunc(t.loaded, func(l v1Loaded) bool { return l.Name == "BASE" })
	if base < 0 {
		t.Stacks = append(t.Stacks, Stack{Text: o.Name, Line: o.line, Err: t.errorf(o.line, "%s has nothing to write, since BASE is not loaded; "+
			"1.24 would run and log that it lacks interpreters or keys; add the line plugin = ulogd_BASE.so", o.Name)})
		return
	}
	if (o.Name == "SYSLOG" || o.Name == "PCAP") && t.loaded[base].line > o.line {
		t.r.warn(o.line, "%s is loaded before BASE, which does not matter; 1.24 would log \"can't resolve all keyhash id's\" and go without it", o.Name)
	}
	for _, l := range t.loaded {
		if l.Output || l.Name != "BASE" && !o.Every {
			continue
		}
		s.Instances = append(s.Instances, l.Instances...)
		t.fix(l.V1Plugin)
	}
	s.Instances = append(s.Instances, o.Instances...)
	t.fix(o.V1Plugin)
	t.options(o)
	s.Text = stackText(s.Instances)
	t.Stacks = append(t.Stacks, s)
	t.set(global, global, option.Entry{Name: "stack", Value: s.Text, Line: o.line})
}

// options sets those of a plugin's section.
func (t *v1Translator) options(o v1Loaded) {
	section, _ := t.r.section(o.Name)
	values, _ := t.values(o.Name, o.Options, section) // errors are for [global] only
	t.set(o.output(), o.Name)
	s := t.Sections[o.output()]
	s.Line = section.line
	t.Sections[o.output()] = s
	for _, v := range values {
		if v.text == "" && (v.Name == "db" || v.Name == "table") {
			continue // the plugin says what is missing
		}
		if v.To == "batch_rows" && (v.text == "0" || strings.HasPrefix(v.text, "-")) {
			v.text = "1"
		}
		t.set(o.output(), o.Name, option.Entry{Name: v.To, Value: v.text, Line: v.line})
	}
}

// fix sets what has an instance behave as in 1.x.
func (t *v1Translator) fix(p *V1Plugin) {
	for _, in := range p.Instances {
		for _, f := range p.Fixed {
			if f.Instance == in.Name && !slices.ContainsFunc(t.Sections[in.Name].Entries, func(e option.Entry) bool { return e.Name == f.Name }) {
				t.set(in.Name, in.Name, option.Entry{Name: f.Name, Value: f.Value})
			}
		}
	}
}

// set appends entries to the section of an instance, which messages call name.
func (t *v1Translator) set(instance, name string, entries ...option.Entry) {
	s, ok := t.Sections[instance]
	if !ok {
		t.order = append(t.order, instance)
		s.File = t.Name
	}
	s.Name = name
	s.Entries = append(s.Entries, entries...)
	t.Sections[instance] = s
}

// stackText is a stack as it is written.
func stackText(instances []Instance) string {
	elements := make([]string, len(instances))
	for i, in := range instances {
		elements[i] = fmt.Sprintf("%s:%s", in.Name, in.Plugin)
	}
	return strings.Join(elements, ",")
}
