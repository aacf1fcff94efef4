package nflog

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/fdstore"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// Open binds the group, or takes over the socket that an earlier process has kept,
// which has it bound.
func (s *source) Open() (err error) {
	s.copied = s.bytesWanted(s.Extent)
	if s.adopt() {
		return s.ready(func() error { return nil })
	}
	if s.sock, err = nlsock.Dial(unix.NETLINK_NETFILTER, s.NetNS); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	s.numbers.fresh()
	return s.ready(s.bind)
}

// ready prepares what is needed beside the socket before the group is bound.
func (s *source) ready(bind func() error) (err error) {
	defer func() {
		if err != nil {
			s.sock.Close()
			s.closeLinks()
		}
	}()
	s.sock.Overrun = s.overrun
	if err := s.openLinks(); err != nil {
		return err
	}
	size, limit := s.socketSizes()
	s.buffer = nlsock.Buffer{Socket: s.sock, Input: "NFLOG", Size: size, Limit: limit, Log: s.env.Log}
	if err := s.buffer.Set(); err != nil {
		return err
	}
	return bind()
}

func (s *source) bind() error {
	if uint16(s.Group) == 0 || s.BindFamilies {
		if err := s.bindFamilies(); err != nil {
			return err
		}
	}
	if err := s.bindGroup(s.group(s.copied)); err != nil {
		return err
	}
	s.keep()
	return nil
}

// storeName is the socket's name in the store, the same in the next process.
func (s *source) storeName() string {
	return fdstore.Name(fmt.Sprintf("nflog %s %d", s.NetNS, uint16(s.Group)))
}

// keep stores the socket for the next process. Without it the socket ends with
// this one.
func (s *source) keep() {
	if s.env.Store == nil {
		return
	}
	page, err := fdstore.NewPage("nflog")
	if err == nil {
		s.numbers.page = page
		s.numbers.save()
		var kept error
		err = s.sock.Control(func(fd int) { kept = s.env.Store.Keep(s.storeName(), fd, int(page.File.Fd())) })
		err = errors.Join(err, kept)
	}
	if err != nil {
		s.env.Log.Warn(fmt.Sprintf("keep the socket for the next process: %v", err))
		return
	}
	s.sock.Peek = true
}

// adopt takes over a socket, and the numbering that goes with it.
func (s *source) adopt() bool {
	if s.env.Store == nil {
		return false
	}
	files := s.env.Store.Take(s.storeName())
	if len(files) == 0 {
		return false
	}
	err := s.adoptFiles(files)
	if err != nil {
		s.env.Log.Warn(fmt.Sprintf("the socket of an earlier process is of no use: %v; what it has received is lost", err))
		return false
	}
	s.notice(fmt.Sprintf("group %d: going on with the socket of an earlier process", uint16(s.Group)))
	return true
}

func (s *source) adoptFiles(files []*os.File) (err error) {
	if len(files) != 2 {
		s.release(files)
		return fmt.Errorf("%d descriptors in place of 2", len(files))
	}
	sock, err := nlsock.Adopt(files[0])
	if err != nil {
		s.release(files[1:])
		return err
	}
	if err := s.checkNetNS(sock); err != nil {
		return errors.Join(err, s.free(sock), files[1].Close())
	}
	page, content, err := fdstore.OpenPage(files[1])
	if err != nil {
		return errors.Join(err, s.free(sock))
	}
	if !s.numbers.load(content) {
		return errors.Join(errors.New("how far it was is not known"), s.free(sock), page.Close())
	}
	// The configuration may have changed. What waits has to stay in the socket
	// meanwhile: this process may be killed, too.
	if _, err := sock.Query(nflog.TypeConfig, s.group(s.copied).Configure()); err != nil {
		return errors.Join(err, s.free(sock), page.Close())
	}
	s.sock, s.numbers.page = sock, page
	s.sock.Peek = true
	return nil
}

func (s *source) checkNetNS(sock *nlsock.Socket) error {
	var other error
	err := sock.Control(func(fd int) { other = nlsock.CheckNetNS(fd, s.NetNS) })
	return errors.Join(err, other)
}

// release closes descriptors that are of no use. Each may be a socket.
func (s *source) release(files []*os.File) {
	for _, f := range files {
		if sock, err := nlsock.Adopt(f); err == nil {
			_ = s.free(sock) // it was not used
		}
	}
}

// free has a socket give the group up, and closes it. The service manager still holds
// another descriptor of it, so that else the group stayed bound.
func (s *source) free(sock *nlsock.Socket) error {
	_ = sock.Request(nflog.TypeConfig, nflog.Group{Number: uint16(s.Group)}.Unbind()) // binding anew says what is wrong
	return sock.Close()
}

// openLinks fills the table of interfaces if somebody wants their names.
func (s *source) openLinks() error {
	if s.links == nil {
		return nil
	}
	if s.NetNS == "" {
		return s.links.Open(0)
	}
	ns, err := os.Open(s.NetNS)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer ns.Close()
	return s.links.Open(int(ns.Fd()))
}

func (s *source) closeLinks() {
	if s.links != nil {
		_ = s.links.Close()
	}
}

// bindFamilies makes nfnetlink_log the logger of the families that ulogd takes.
func (s *source) bindFamilies() error {
	for _, family := range []byte{nflog.FamilyIPv4, nflog.FamilyIPv6, nflog.FamilyBridge} {
		if s.Unbind {
			s.notice(fmt.Sprintf("forcing unbind of existing log handler for protocol %d", family))
			if err := s.sock.Request(nflog.TypeConfig, nflog.UnbindFamily(family)); err != nil {
				return s.explain(fmt.Sprintf("unable to force-unbind existing log handler for protocol %d", family), err)
			}
		}
		if err := s.sock.Request(nflog.TypeConfig, nflog.BindFamily(family)); err != nil {
			return s.explain(fmt.Sprintf("unable to bind to protocol family %d", family), err)
		}
	}
	return nil
}

// bindGroup binds the group. A kernel that can't attach what connection tracking
// knows refuses the flag: that is reported, and the group works without.
func (s *source) bindGroup(g nflog.Group) error {
	err := s.sock.Request(nflog.TypeConfig, g.Bind())
	if err != nil && g.Flags&nflog.FlagConntrack != 0 && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBUSY) {
		s.withoutConntrack(err)
		g.Flags &^= nflog.FlagConntrack
		err = s.sock.Request(nflog.TypeConfig, g.Bind())
	}
	if err != nil {
		return s.explain(fmt.Sprintf("unable to bind to log group %d", g.Number), err)
	}
	return nil
}

// withoutConntrack asks no more for what the kernel can't do: it refuses all else that is
// in the request, too.
func (s *source) withoutConntrack(err error) {
	s.env.Log.Error(fmt.Sprintf("unable to set flags 0x%x: %v; going on without attach_conntrack (load the kernel module nf_conntrack_netlink)", s.group(0).Flags, err))
	s.Conntrack = false
}

// explain says what the kernel's refusal means and what to do.
func (s *source) explain(what string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EBUSY):
		if owner := s.owner(); owner != "" {
			return fmt.Errorf("%s: the group is in use by %s; stop that, or choose another group", what, owner)
		}
		return fmt.Errorf("%s: %w: the capability CAP_NET_ADMIN is missing; run as root, or grant it "+
			"(AmbientCapabilities=CAP_NET_ADMIN in the unit, or setcap cap_net_admin+ep on the program)", what, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%s: %w; the kernel may lack it: modprobe nfnetlink_log", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// owner names who has bound the group, and is empty if nobody has.
func (s *source) owner() string {
	if s.NetNS != "" {
		return "" // the list at hand is that of another namespace
	}
	f, err := os.Open("/proc/thread-self/" + nflog.ProcFile)
	if err != nil {
		return ""
	}
	defer f.Close()
	list, _ := nflog.ParseProc(f)
	for _, b := range list {
		if b.Group == uint16(s.Group) {
			return describe(b.PortID)
		}
	}
	return ""
}

func describe(portID uint32) string {
	text := fmt.Sprintf("port id %d", portID)
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", portID))
	if err != nil {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, strings.TrimSpace(string(name)))
}
