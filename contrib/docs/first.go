package main

import (
	"fmt"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/config"
)

// firstPlugins lists the plugins of ulogd 1.x with what does their work here.
func firstPlugins() string {
	var b strings.Builder
	b.WriteString("| plugin of 1.x | here | with |\n|---|---|---|\n")
	for _, p := range config.V1Plugins {
		file := "`ulogd_" + p.Name + ".so`"
		if p.Alias != "" {
			file += ", `ulogd_" + p.Alias + ".so`"
		}
		var with []string
		for _, f := range p.Fixed {
			with = append(with, fmt.Sprintf("`[%s] %s=%s`", f.Instance, f.Name, f.Value))
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", file, stackOf(p), strings.Join(with, ", "))
	}
	return b.String()
}

func stackOf(p config.V1Plugin) string {
	var elements []string
	if p.Output {
		elements = []string{"...", "base1:BASE"}
		if p.Every {
			elements = append(elements, "...")
		}
	}
	for _, in := range p.Instances {
		elements = append(elements, in.Name+":"+in.Plugin)
	}
	return strings.Join(elements, ",")
}

// firstOptions lists all options of ulogd 1.x with what they become.
func firstOptions() string {
	var b strings.Builder
	b.WriteString("| option of 1.x | before 1.10 | default | becomes | remark |\n|---|---|---|---|---|\n")
	row := func(section, here string, o config.V1Option) {
		flat, value := "", o.Default
		if o.Flat != "" {
			flat = "`" + o.Flat + "`"
		}
		switch {
		case o.Name == "plugin":
			value = ""
		case o.Name == "nflog_group":
			value = "as `nlgroup`"
		case o.Mandatory:
			value = "none"
		case value == "" && o.Number:
			value = "0"
		case value == "":
			value = "empty"
		}
		to := o.To
		if here != "" {
			to = "[" + here + "] " + o.To
		}
		if strings.HasPrefix(to, "[") {
			to = "`" + to + "`"
		}
		fmt.Fprintf(&b, "| `[%s] %s` | %s | %s | %s | %s |\n", section, o.Name, flat, value, to, o.Doc)
	}
	for _, o := range config.V1Globals {
		row("global", "", o)
	}
	for _, p := range config.V1Plugins {
		for _, o := range p.Options {
			row(p.Name, p.Instances[len(p.Instances)-1].Name, o)
		}
	}
	return b.String()
}
