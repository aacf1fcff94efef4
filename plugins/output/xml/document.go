package xml

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// kind is a sort of document.
type kind struct {
	name string // in the name of the file
	root string // the element around all records
}

// kindOf tells by what the source of the stack gives.
func kindOf(input plugin.Type) kind {
	switch {
	case input&plugin.Flow != 0:
		return kind{"flow", "conntrack"}
	case input&plugin.Sum != 0:
		return kind{"sum", "sum"}
	}
	return kind{"pkt", "packet"}
}

func (k kind) header() string {
	return "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<" + k.root + ">\n"
}

func (k kind) footer() string { return "</" + k.root + ">\n" }

// document delivers records into a file with a header and a footer.
type document struct {
	directory string
	stdout    bool
	kind      kind
	env       *plugin.Env

	to   writer // nil before the first Connect and after Close
	owed bool   // the header stands before what is to be written next
	cut  bool   // a block may be partly written, and has to be given again
}

// writer is an outfile.File or a stream. After an error of Write the same bytes
// are to be given again, and it goes on where it was cut.
type writer interface {
	Write(block []byte) error
	Close() error
}

// stream is the standard output, which stays open for others.
type stream struct {
	f    *os.File
	done int // bytes of the present block that are written
}

func (s *stream) Write(block []byte) error {
	n, err := s.f.Write(block[s.done:])
	s.done += n
	if err == nil {
		s.done = 0
	}
	return err
}

func (s *stream) Close() error { return nil }

// Connect opens the document. It is never lost again, so nothing is to be done
// when it is open.
func (d *document) Connect(context.Context) error {
	if d.to != nil {
		return nil
	}
	to, err := d.create()
	if err != nil {
		return err
	}
	return d.begin(to)
}

// begin writes the header. If there is no room for it, it goes before the first
// block that there is room for.
func (d *document) begin(to writer) error {
	d.to, d.owed, d.cut = to, true, false
	return d.append(nil)
}

// append appends a block, and before it the header if that is owed.
func (d *document) append(block []byte) error {
	if d.owed {
		block = append([]byte(d.kind.header()), block...)
	}
	if err := d.to.Write(block); err != nil {
		return err
	}
	d.owed = false
	return nil
}

// maxSuffix is how many documents may be begun in one second.
const maxSuffix = 1000

// create makes a file of which nobody else has the name.
func (d *document) create() (writer, error) {
	if d.stdout {
		return &stream{f: os.Stdout}, nil
	}
	base := d.directory + "/ulogd-" + d.kind.name + d.env.Now().In(d.env.Zone).Format("-02012006-150405")
	path := base + ".xml"
	for i := 1; ; i++ {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if err == nil {
			if err := f.Close(); err != nil {
				return nil, err
			}
			return d.open(path)
		}
		if !errors.Is(err, fs.ErrExist) || i > maxSuffix {
			return nil, fmt.Errorf("%w; see to it that the directory exists and that the daemon may write there", err)
		}
		path = fmt.Sprintf("%s-%d.xml", base, i)
	}
}

func (d *document) open(path string) (writer, error) {
	f, err := d.env.Files.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Write appends a block of records.
func (d *document) Write(_ context.Context, blk *queue.Block) error {
	err := d.append(blk.Data)
	d.cut = err != nil
	return err
}

// Reopen ends the document and begins another. The standard output stays as it
// is.
func (d *document) Reopen() error {
	if d.to == nil || d.stdout {
		return nil
	}
	to, err := d.create()
	if err != nil {
		return fmt.Errorf("reopen: %w; the old file stays in use", err)
	}
	return errors.Join(d.end(), d.begin(to))
}

// Close ends the document.
func (d *document) Close() error {
	if d.to == nil {
		return nil
	}
	err := d.end()
	d.to = nil
	return err
}

// end writes the footer. A document that breaks off in the middle of a record,
// because its disk was full, can't be completed.
func (d *document) end() error {
	var err error
	if !d.owed && !d.cut {
		err = d.to.Write([]byte(d.kind.footer()))
	}
	return errors.Join(err, d.to.Close())
}

var _ writer = (*outfile.File)(nil)
