package nfct

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// program is a filter that the kernel runs on each event before it takes room in the
// receive buffer. It lets pass what accepts does, and what it does not understand.
// It is a list of stages, each of which an event has to get through.
type program struct {
	code []bpf.Instruction
	ways []int // jumps to the end of the stage
}

// maxProgram is what the kernel takes (BPF_MAXINSNS).
const maxProgram = 4096

// program makes the filter of the options. It is nil if nothing is filtered, or if the
// kernel can't: then accepts does it all.
func (o *options) program() []bpf.RawInstruction {
	var p program
	p.protocols(o.AcceptProto)
	p.networks(&o.AcceptSrc, 0)
	p.networks(&o.AcceptDst, 1)
	if len(p.code) == 0 || len(p.code) >= maxProgram {
		return nil
	}
	p.code = append(p.code, bpf.RetConstant{Val: 0xffffffff})
	raw, err := bpf.Assemble(p.code)
	if err != nil {
		return nil
	}
	return raw
}

func (p *program) add(code ...bpf.Instruction) { p.code = append(p.code, code...) }

// pass jumps to the end of the stage.
func (p *program) pass() {
	p.ways = append(p.ways, len(p.code))
	p.add(bpf.Jump{})
}

// stage ends a stage, at which those that did not pass are dropped.
func (p *program) stage() {
	p.add(bpf.RetConstant{Val: 0})
	for _, at := range p.ways {
		p.code[at] = bpf.Jump{Skip: uint32(len(p.code) - at - 1)}
	}
	p.ways = p.ways[:0]
}

// find looks for the value of an attribute in the tuple of the first packet, and
// leaves its place in X. What has no such attribute passes.
func (p *program) find(path ...uint16) {
	p.add(bpf.LoadConstant{Dst: bpf.RegA, Val: nlsock.HeaderLen + nflog.FamilyHeaderLen})
	ext := bpf.ExtNetlinkAttr
	for _, typ := range append([]uint16{ctnetlink.AttrOrig}, path...) {
		p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: uint32(typ)}, bpf.LoadExtension{Num: ext},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1})
		p.pass()
		ext = bpf.ExtNetlinkAttrNested
	}
	p.add(bpf.TAX{})
}

// attrHeader is the size of what stands before the value of an attribute.
const attrHeader = 4

// protocols lets events of those protocols pass.
func (p *program) protocols(list protocols) {
	if len(list) == 0 {
		return
	}
	p.find(ctnetlink.TupleProto, ctnetlink.ProtoNumber)
	p.add(bpf.LoadIndirect{Off: attrHeader, Size: 1})
	for _, n := range list {
		p.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(n), SkipTrue: 1})
		p.pass()
	}
	p.stage()
}

// networks lets events pass whose address of that number, 0 for the source or 1 for the
// destination, is in one of the networks of its family.
func (p *program) networks(n *networks, which uint16) {
	if len(n.v4)+len(n.v6) == 0 {
		return
	}
	for _, x := range []struct {
		family uint8
		attr   uint16
	}{{nflog.FamilyIPv4, ctnetlink.IPv4Src}, {nflog.FamilyIPv6, ctnetlink.IPv6Src}} {
		prefixes := n.of(x.family)
		if len(prefixes) == 0 {
			continue
		}
		p.add(bpf.LoadAbsolute{Off: nlsock.HeaderLen, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(x.family), SkipTrue: 1})
		other := len(p.code)
		p.add(bpf.Jump{})
		p.find(ctnetlink.TupleIP, x.attr+which)
		for _, prefix := range prefixes {
			p.network(prefix)
		}
		p.add(bpf.RetConstant{Val: 0})
		p.code[other] = bpf.Jump{Skip: uint32(len(p.code) - other - 1)}
	}
	p.pass() // of a family without networks
	p.stage()
}

// network lets the address at X pass if it is in a network.
func (p *program) network(prefix netip.Prefix) {
	addr := prefix.Addr().AsSlice()
	var test []bpf.Instruction
	var jumps []int
	for off, bits := 0, prefix.Bits(); bits > 0; off, bits = off+4, bits-32 {
		mask := ^uint32(0)
		if bits < 32 {
			mask <<= 32 - bits
		}
		test = append(test, bpf.LoadIndirect{Off: uint32(attrHeader + off), Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
		jumps = append(jumps, len(test))
		test = append(test, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(addr[off:])})
	}
	for _, at := range jumps { // past the jump that follows, to the next network
		j := test[at].(bpf.JumpIf)
		j.SkipTrue = uint8(len(test) - at)
		test[at] = j
	}
	p.add(test...)
	p.pass()
}
