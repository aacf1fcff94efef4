package config

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// Replaced is an input ULOG whose place an input NFLOG has taken.
type Replaced struct {
	Instance string
	Nlgroup  int // it was to listen to
	Group    int // of NFLOG that it listens to
}

// String says what has happened, and which rules feed the input now.
func (r Replaced) String() string {
	return fmt.Sprintf("%s: the kernel has no ULOG, so it listens to NFLOG group %d in place of ULOG group %d; rules feed it by "+
		"`iptables -A INPUT -j NFLOG --nflog-group %[2]d --nflog-prefix \"drop: \"` (it was -j ULOG --ulog-nlgroup %[3]d) or "+
		"`nft add rule ip filter input log prefix '\"drop: \"' group %[2]d`", r.Instance, r.Group, r.Nlgroup)
}

// UsesULOG tells whether a stack begins with the input ULOG.
func (f *File) UsesULOG() bool {
	return slices.ContainsFunc(f.Stacks, func(s Stack) bool { return len(s.Instances) > 0 && s.Instances[0].Plugin == "ULOG" })
}

// ReplaceULOG puts NFLOG and IFINDEX in the place of each input ULOG, for a kernel
// that does not have the latter. The group of NFLOG has the same number, as rules are
// converted by their target alone.
//
// See reference page "ulogd1", section 9.3.
func (f *File) ReplaceULOG() []Replaced {
	var done []Replaced
	for i := range f.Stacks {
		s := &f.Stacks[i]
		if len(s.Instances) == 0 || s.Instances[0].Plugin != "ULOG" {
			continue
		}
		source := s.Instances[0].Name
		if n := f.ulogGroup(source); n < 1 || n > ulogGroups {
			continue // which ULOG says
		}
		if !slices.ContainsFunc(done, func(r Replaced) bool { return r.Instance == source }) {
			done = append(done, f.replaceSection(source))
		}
		was := s.Text
		s.Instances = slices.Clone(s.Instances)
		s.Instances[0].Plugin = "NFLOG"
		if !slices.ContainsFunc(s.Instances, func(in Instance) bool { return in.Plugin == "IFINDEX" }) {
			s.Instances = slices.Insert(s.Instances, 1, Instance{"ifi1", "IFINDEX"})
		}
		s.Text = stackText(s.Instances)
		f.rewrite(was, s.Text)
	}
	return done
}

// rewrite puts a new text in the place of a stack's.
func (f *File) rewrite(was, now string) {
	g := f.Sections[global]
	g.Entries = slices.Clone(g.Entries)
	for i, e := range g.Entries {
		if e.Name == "stack" && e.Value == was && !e.NoValue {
			g.Entries[i].Value = now
			break
		}
	}
	f.Sections[global] = g
}

// ulogGroup is the group of an input ULOG.
func (f *File) ulogGroup(name string) int {
	for _, e := range f.Section(name).Entries {
		if n, err := strconv.ParseInt(e.Value, 0, 32); e.Name == "nlgroup" && err == nil {
			return int(n)
		}
	}
	return ulogDefault
}

// Groups of ULOG, and sizes of NFLOG.
const (
	ulogGroups  = 32
	ulogDefault = 32
	nflogBuffer = 8 << 20  // bytes that the receive buffer has by itself
	nflogLimit  = 64 << 20 // up to which it grows
)

// replaceSection makes the options of an input ULOG those of NFLOG.
func (f *File) replaceSection(name string) Replaced {
	r := Replaced{Instance: name, Nlgroup: f.ulogGroup(name)}
	r.Group = r.Nlgroup
	if f.nflogGroup != nil {
		r.Group = *f.nflogGroup
	}
	s := f.Section(name)
	group := option.Entry{Name: "group", Value: strconv.Itoa(r.Group), Line: s.Line}
	entries := []option.Entry{group}
	for _, e := range s.Entries {
		switch e.Name {
		case "nlgroup":
			entries[0].Line = e.Line
		case "rmem":
			entries = append(entries, buffer(e)...)
		default:
			entries = append(entries, e)
		}
	}
	s.Entries = entries
	if _, ok := f.Sections[name]; !ok && f.order != nil {
		f.order = append(f.order, name)
	}
	f.Sections[name] = s
	return r
}

// buffer is the options of NFLOG for the size of ULOG's receive buffer, none if NFLOG
// has more by itself.
func buffer(rmem option.Entry) []option.Entry {
	n, err := strconv.ParseInt(rmem.Value, 0, 32)
	if err != nil || n <= nflogBuffer {
		return nil
	}
	return []option.Entry{
		{Name: "netlink_socket_buffer_size", Value: rmem.Value, Line: rmem.Line},
		{Name: "netlink_socket_buffer_maxsize", Value: strconv.FormatInt(max(n, nflogLimit), 10), Line: rmem.Line},
	}
}
