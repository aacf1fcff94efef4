package main

import (
	"fmt"
	"io"
	"os"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
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

// convert writes a configuration as TOML.
func convert(path string, r *plugin.Registry, stdout, stderr io.Writer) int {
	f, err := readConfig(path)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	for _, w := range f.Warnings {
		fmt.Fprintln(stderr, w)
	}
	err = f.WriteTOML(stdout, func(name string) []option.Field {
		spec, err := r.Lookup(name)
		if err != nil {
			return nil
		}
		return spec.Options
	})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
