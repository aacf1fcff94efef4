package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"golang.org/x/sys/unix"
)

const hostAddr = "192.0.2.1"

var guestAddrs = [2]string{"192.0.2.11", "192.0.2.12"}

// network is a host with the bridge br0, and a guest at each of its two ports.
type network struct {
	host   *lab.NS
	guests [2]*lab.NS
}

// newNetwork makes it, firewall included. Nothing is left of one that failed.
func newNetwork() (*network, error) {
	n := new(network)
	if err := n.build(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) build() (err error) {
	if n.host, err = lab.New(); err != nil {
		return err
	}
	if err := lab.Bridge(lab.Port{NS: n.host, Name: "br0", Index: 10, MAC: "02:00:00:00:00:01", Addrs: []string{hostAddr + "/24"}}); err != nil {
		return err
	}
	for i, addr := range guestAddrs {
		if n.guests[i], err = lab.New(); err != nil {
			return err
		}
		err := lab.Veth(
			lab.Port{NS: n.host, Name: fmt.Sprintf("vnet%d", i), Index: 11 + i, Master: "br0"},
			lab.Port{NS: n.guests[i], Name: "eth0", MAC: fmt.Sprintf("02:00:00:00:00:%02x", 0x11+i), Addrs: []string{addr + "/24"}})
		if err != nil {
			return err
		}
	}
	return n.firewall()
}

// firewall adds the rules. With br_netfilter, bridged packets pass the same
// FORWARD rules as routed ones, as on most hosts of virtual machines; without
// it the bridge family logs them. Either way they carry the ports.
func (n *network) firewall() error {
	forward := lab.Rule{Family: "inet", Hook: "forward", Prefix: "FORWARD ", Groups: []uint16{group}}
	err := n.host.Sysctl("net.bridge.bridge-nf-call-iptables", "1")
	if errors.Is(err, os.ErrNotExist) {
		forward.Family = "bridge"
	} else if err != nil {
		return err
	}
	rules := []lab.Rule{forward}
	for _, proto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		rules = append(rules, lab.Rule{Family: "inet", Hook: "input", InName: "br0", Protocol: proto,
			Prefix: "DROP ", Groups: []uint16{group}, Verdict: "drop"})
	}
	for _, r := range rules {
		if _, err := n.host.Log(r); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) close() {
	for _, ns := range []*lab.NS{n.guests[0], n.guests[1], n.host} {
		if ns != nil {
			ns.Close()
		}
	}
}

// wait returns when the daemon listens.
func (n *network) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := n.host.WaitListener(ctx, group); err != nil {
		return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return nil
}

// send lets the guests talk to each other and to the host, until ctx ends.
func (n *network) send(ctx context.Context) error {
	steps := []struct {
		from int
		send func(to string) error
		to   string
	}{
		{0, ping, guestAddrs[1]},
		{0, syn, guestAddrs[1] + ":25"},
		{1, datagram, guestAddrs[0] + ":53"},
		{0, syn, hostAddr + ":22"},
		{1, datagram, hostAddr + ":161"},
	}
	for i := 0; ; i = (i + 1) % len(steps) {
		s := steps[i]
		if err := n.guests[s.from].Do(func() error { return s.send(s.to) }); err != nil {
			return fmt.Errorf("send from guest %d to %s: %w", s.from, s.to, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(400 * time.Millisecond):
		}
	}
}

// ping sends an ICMP echo request (RFC 792), which the other side answers.
func ping(to string) error {
	conn, err := net.Dial("ip4:icmp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Type 8, code 0, checksum, identifier 1, sequence number 1.
	_, err = conn.Write([]byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1})
	return err
}

// syn begins a TCP connection. Nobody listens, or the firewall drops it.
func syn(to string) error {
	conn, err := net.DialTimeout("tcp", to, 100*time.Millisecond)
	if err == nil {
		return conn.Close()
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, unix.ECONNREFUSED) || ok && timeout.Timeout() {
		return nil
	}
	return err
}

// datagram sends one over UDP.
func datagram(to string) error {
	conn, err := net.Dial("udp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	return err
}
