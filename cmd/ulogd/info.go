package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// info prints options and keys of a plugin, which is named, or given as the path
// of the shared object that it is in ulogd (reference page "ulogd2-core",
// section 1.7).
func (c *cli) info(plugin string) {
	spec, err := c.registry.Lookup(pluginName(plugin))
	if err != nil {
		fmt.Fprintf(c.stderr, "%s: %v\n", plugin, err)
		return
	}
	var b event.Binder
	if x, err := spec.Describe(); err != nil {
		fmt.Fprintf(c.stderr, "%s: the keys are not known: %v\n", spec.Name, err)
	} else {
		x.Bind(&b)
	}
	fmt.Fprintf(c.stdout, "Name: %s\n", spec.Name)
	c.options(spec.Options)
	c.keys(spec.Info, &b)
}

// pluginName is LOGEMU for /usr/lib/ulogd/ulogd_output_LOGEMU.so.
func pluginName(file string) string {
	name := strings.TrimSuffix(path.Base(file), ".so")
	return name[strings.LastIndexByte(name, '_')+1:]
}

func (c *cli) options(fields []option.Field) {
	if len(fields) == 0 {
		return
	}
	fmt.Fprintln(c.stdout, "Config options:")
	for _, f := range fields {
		mandatory := ""
		if f.Mandatory {
			mandatory = ", Mandatory"
		}
		fmt.Fprintf(c.stdout, "\tVar: %s (%s, Default: %s%s)\n", f.Name, f.Type, f.Default, mandatory)
	}
}

const noKeys = "\tNo statically defined keys"

func (c *cli) keys(i plugin.Info, b *event.Binder) {
	fmt.Fprintln(c.stdout, "Input keys:")
	switch {
	case kind(i) == "input":
		fmt.Fprintln(c.stdout, "\tInput plugin, No keys")
	case len(b.Inputs()) == 0:
		fmt.Fprintln(c.stdout, noKeys)
	}
	for _, in := range b.Inputs() {
		optional := ""
		if in.Optional {
			optional = ", optional"
		}
		fmt.Fprintf(c.stdout, "\tKey: %s (%v%s)\n", in.Name, in.Kind, optional)
	}
	fmt.Fprintln(c.stdout, "Output keys:")
	switch {
	case kind(i) == "output":
		fmt.Fprintln(c.stdout, "\tOutput plugin, No keys")
	case len(b.Keys()) == 0:
		fmt.Fprintln(c.stdout, noKeys)
	}
	for _, k := range b.Keys() {
		fmt.Fprintf(c.stdout, "\tKey: %s (%v)\n", k.Name, k.Kind)
	}
}
