// Command docs writes the documentation that follows from the code: the tables
// of options and keys in the README of each plugin, the table of plugins in the
// README of the project, and ulogd.toml.example.
//
//	go run ./contrib/docs          writes what has changed
//	go run ./contrib/docs -check   only says what is stale, and exits with 1 if anything is
//
// It is run from the top of the source tree.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	_ "github.com/ulogd-go/ulogd/plugins/all"
)

func main() {
	check := flag.Bool("check", false, "change nothing, and exit with 1 if a file is stale")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	stale, err := outdated(".", plugin.Default)
	if check && len(stale) > 0 {
		return errors.Join(err, fmt.Errorf("%s: not what the code says; run go run ./contrib/docs", strings.Join(names(stale), ", ")))
	}
	for _, f := range stale {
		if err := os.WriteFile(f.path, f.text, 0o644); err != nil {
			return err
		}
		fmt.Println("wrote", f.path)
	}
	return err
}

// file is what a file has to hold.
type file struct {
	path string
	text []byte
}

func names(files []file) []string {
	var list []string
	for _, f := range files {
		list = append(list, f.path)
	}
	return list
}

// outdated are the files below the top of the source tree that differ from what
// they have to hold. The error tells of files of which that can't be said, such
// as those that lack the place for a table.
func outdated(top string, r *plugin.Registry) (stale []file, err error) {
	specs, err := lookup(r)
	if err != nil {
		return nil, err
	}
	example, err := example(specs)
	if err != nil {
		return nil, err
	}
	files, err := readmes(top, specs)
	files = append(files, file{filepath.Join(top, "ulogd.toml.example"), example})
	for _, f := range files {
		present, readErr := os.ReadFile(f.path)
		if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
			err = errors.Join(err, readErr)
		} else if !bytes.Equal(present, f.text) {
			stale = append(stale, f)
		}
	}
	return stale, err
}

// lookup are the plugins: sources first, outputs last, each sort by its name.
func lookup(r *plugin.Registry) ([]plugin.Spec, error) {
	var sources, filters, outputs []plugin.Spec
	for _, name := range r.Names() {
		spec, err := r.Lookup(name)
		switch {
		case err != nil:
			return nil, err
		case spec.Takes == 0:
			sources = append(sources, spec)
		case spec.Gives == 0:
			outputs = append(outputs, spec)
		default:
			filters = append(filters, spec)
		}
	}
	return append(append(sources, filters...), outputs...), nil
}

// folder is where a plugin's code lies, from the top of the source tree.
func folder(s plugin.Spec) string {
	kind := "filter"
	switch {
	case s.Takes == 0:
		kind = "input"
	case s.Gives == 0:
		kind = "output"
	}
	return "plugins/" + kind + "/" + strings.ToLower(s.Name)
}
