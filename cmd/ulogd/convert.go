package main

import (
	"fmt"
	"io"
	"os"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/ulog"
)

// readConfig reads the configuration file.
func readConfig(path string) (*config.File, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("error registering configfile %q: unable to read it: %w", path, reason(err))
	}
	f, err := config.Parse(path, src)
	if err != nil {
		return nil, fmt.Errorf("unable to parse config file: %w", err)
	}
	return f, nil
}

// replaceULOG puts NFLOG in the place of ULOG if the kernel lacks that. Only a
// configuration with ULOG has the kernel asked, as it may load a module for it.
func replaceULOG(f *config.File) []config.Replaced {
	if !f.UsesULOG() || ulog.Supported() {
		return nil
	}
	return f.ReplaceULOG()
}

// convert writes a configuration in another format, as it works on this kernel.
func convert(o options, r *plugin.Registry, stdout, stderr io.Writer) int {
	f, err := readConfig(o.configfile)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	for _, w := range f.Warnings {
		fmt.Fprintln(stderr, w)
	}
	for _, r := range replaceULOG(f) {
		fmt.Fprintln(stderr, r)
	}
	if o.convert == "conf" {
		err = f.WriteConf(stdout, optionsOf(r))
	} else {
		err = f.WriteTOML(stdout, optionsOf(r))
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// optionsOf tells the options of plugins; nil of one that is unknown.
func optionsOf(r *plugin.Registry) func(name string) []option.Field {
	return func(name string) []option.Field {
		spec, err := r.Lookup(name)
		if err != nil {
			return nil
		}
		return spec.Options
	}
}
