package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

type options struct {
	Size int `toml:"size" doc:"how large"`
}

// source is a source that does nothing.
type source struct {
	options
	env *plugin.Env
}

func (*source) Bind(b *event.Binder)                     { b.Out(new(event.Slot), event.Key{Name: "key"}) }
func (*source) Open() error                              { return nil }
func (*source) Read(context.Context, *event.Batch) error { return io.EOF }
func (*source) Close() error                             { return nil }

func spec(name string) plugin.Spec {
	return plugin.NewSource(plugin.Info{Name: name, Gives: plugin.Raw}, options{Size: 7}, func(o options, env *plugin.Env) (plugin.Source, error) {
		if o.Size < 0 {
			return nil, errors.New("size is negative")
		}
		return &source{o, env}, nil
	})
}

func TestRegistry(t *testing.T) {
	var r plugin.Registry
	for _, name := range []string{"B", "A", "C"} {
		r.Register(spec(name))
	}
	if got := strings.Join(r.Names(), " "); got != "A B C" {
		t.Errorf("names %q, want them sorted", got)
	}
	if s, err := r.Lookup("B"); err != nil || s.Name != "B" || len(s.Options) != 1 {
		t.Errorf("B is %+v, %v", s, err)
	}
	for _, name := range []string{" B", "B\t"} {
		want := fmt.Sprintf("can't find requested plugin %s; write B, as blanks are a part of the name", name)
		if _, err := r.Lookup(name); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	if _, err := r.Lookup("b"); err == nil || err.Error() != "can't find requested plugin b; known are A, B, C" {
		t.Errorf("b: %v, want an error that names the known", err)
	}
	type unreadable struct {
		C chan int `toml:"c" doc:"nothing that an option can be"`
	}
	bad := plugin.NewSource(plugin.Info{Name: "BAD"}, unreadable{}, func(unreadable, *plugin.Env) (plugin.Source, error) { return nil, nil })
	for name, s := range map[string]plugin.Spec{"a name that is taken": spec("A"), "no name": spec(""), "an option of no known type": bad} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			r.Register(s)
		}()
	}
}

func TestSpec(t *testing.T) {
	s := spec("A")
	x, err := s.Describe()
	if err != nil || x.(*source).Size != 7 || x.(*source).env.Instance != "A" {
		t.Errorf("Describe: %+v, %v; want the defaults", x, err)
	}
	section := func(value string) option.Section {
		return option.Section{Name: "a1", Entries: []option.Entry{{Name: "size", Value: value}}}
	}
	env := &plugin.Env{Instance: "a1"}
	if x, _, err := s.Open(section("9"), true, env); err != nil || x.(*source).Size != 9 || x.(*source).env != env {
		t.Errorf("Open: %+v, %v", x, err)
	}
	if _, _, err := s.Open(section("-1"), true, env); err == nil || err.Error() != "size is negative" {
		t.Errorf("a value that the plugin refuses: %v", err)
	}
	if _, _, err := s.Open(section("x"), true, env); err == nil || !strings.Contains(err.Error(), "size") {
		t.Errorf("a value that is no number: %v", err)
	}
	if x, _, err := s.Open(section("10"), true, env); err != nil || x.(*source).Size != 10 {
		t.Errorf("an earlier section stays: %+v, %v", x, err)
	}
}

// needy is options whose default will not do.
type needy struct {
	Every int `toml:"every" doc:"seconds"`
}

func (n needy) Validate() error {
	if n.Every == 0 {
		return errors.New("every = 0: has to be 1 or more")
	}
	return nil
}

func TestValidator(t *testing.T) {
	s := plugin.NewSource(plugin.Info{Name: "NEEDY"}, needy{}, func(needy, *plugin.Env) (plugin.Source, error) { return &source{}, nil })
	if _, err := s.Describe(); err != nil {
		t.Errorf("Describe: %v, although nothing is to run", err)
	}
	section := option.Section{Name: "n1"}
	if _, _, err := s.Open(section, true, &plugin.Env{}); err == nil || err.Error() != "[n1] every = 0: has to be 1 or more" {
		t.Errorf("the default: %v", err)
	}
	section.Entries = []option.Entry{{Name: "every", Value: "2"}}
	if x, _, err := s.Open(section, true, &plugin.Env{}); err != nil || x == nil {
		t.Errorf("what will do: %v, %v", x, err)
	}
}

func TestRejectError(t *testing.T) {
	err := error(&plugin.RejectError{Rows: []int{1}, Err: syscall.EMSGSIZE})
	if !errors.Is(err, syscall.EMSGSIZE) || err.Error() != syscall.EMSGSIZE.Error() {
		t.Errorf("%v, want its reason", err)
	}
}

func block(row string) *queue.Block {
	blk := &queue.Block{Data: []byte(row)}
	blk.End()
	return blk
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := &plugin.File{FileOptions: plugin.FileOptions{File: path}, QueueOptions: queue.Defaults, Files: new(outfile.Set), Header: []byte("header\n")}
	if err := errors.Join(f.Reopen(t.Context()), f.Close()); err != nil {
		t.Errorf("before Connect: %v", err)
	}
	ctx := t.Context()
	err := errors.Join(f.Connect(ctx), f.Write(ctx, block("a\n")), os.Rename(path, path+".1"), f.Reopen(t.Context()), f.Write(ctx, block("b\n")),
		os.Rename(path, path+".2"), f.Connect(ctx), f.Write(ctx, block("c\n")), f.Close())
	if err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{path + ".1": "header\na\n", path + ".2": "header\nb\n", path: "header\nc\n"} {
		if got, err := os.ReadFile(name); string(got) != want || err != nil {
			t.Errorf("%s holds %q, %v; want %q", filepath.Base(name), got, err, want)
		}
	}
	if _, b := f.Queue(); b != (queue.Batching{Age: 40 * time.Millisecond}) {
		t.Errorf("without sync: %+v", b)
	}
	f.Sync = true
	if o, b := f.Queue(); o != queue.Defaults || b != (queue.Batching{}) {
		t.Errorf("with sync: %+v, %+v", o, b)
	}
}

// TestFileErrors tells what may go away by itself from what does not.
func TestFileErrors(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	open := func(path string) *plugin.File {
		return &plugin.File{FileOptions: plugin.FileOptions{File: path}, Files: new(outfile.Set)}
	}
	if err := open(filepath.Join(dir, "no", "log")).Connect(ctx); !errors.Is(err, os.ErrNotExist) || errors.Is(err, plugin.ErrNotConnected) ||
		!strings.Contains(err.Error(), "see to it that the directory exists") {
		t.Errorf("no directory: %v", err)
	}
	full := open("/dev/full")
	if err := errors.Join(full.Connect(ctx), full.Write(ctx, block("a\n"))); !errors.Is(err, unix.ENOSPC) || errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("a full disk: %v", err)
	}
	path := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := open(path)
	if err := pipe.Connect(ctx); !errors.Is(err, plugin.ErrNotConnected) || !errors.Is(err, outfile.ErrNoReader) {
		t.Errorf("a pipe without a reader: %v", err)
	}
	for range 2 {
		r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(pipe.Connect(ctx), pipe.Write(ctx, block("a\n"))); err != nil {
			t.Errorf("a pipe with a reader: %v", err)
		}
		r.Close()
		if err := pipe.Write(ctx, block("b\n")); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("a pipe whose reader has gone: %v", err)
		}
		if err := pipe.Connect(ctx); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("and does not come back: %v", err)
		}
	}
	if err := plugin.Temporary(os.ErrDeadlineExceeded); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("a pipe without room for the header: %v", err)
	}
}
