package xml

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

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

	to  *outfile.File // nil before the first Connect and after Close
	cut bool          // a block may be partly written
}

// Connect opens the document. It is never lost again, so nothing is to be done
// when it is open.
func (d *document) Connect(context.Context) (err error) {
	if d.to == nil {
		d.to, err = d.create()
	}
	return plugin.Temporary(err)
}

// maxSuffix is how many documents may be begun in one second.
const maxSuffix = 1000

// create begins a document in a file that is not there yet.
func (d *document) create() (*outfile.File, error) {
	header := []byte(d.kind.header())
	if d.stdout {
		return d.env.Files.Stdout(header)
	}
	base := d.directory + "/ulogd-" + d.kind.name + d.env.Now().In(d.env.Zone).Format("-02012006-150405")
	f, err := d.env.Files.Create(base+".xml", header)
	for i := 1; errors.Is(err, fs.ErrExist) && i <= maxSuffix; i++ {
		f, err = d.env.Files.Create(fmt.Sprintf("%s-%d.xml", base, i), header)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; see to it that the directory exists and that the daemon may write there", err)
	}
	return f, nil
}

// Write appends a block of records.
func (d *document) Write(_ context.Context, blk *queue.Block) error {
	err := d.to.Write(blk)
	d.cut = err != nil
	return err
}

// Reopen ends the document and begins another. The standard output stays as it
// is.
func (d *document) Reopen(context.Context) error {
	if d.to == nil || d.stdout {
		return nil
	}
	to, err := d.create()
	if err != nil {
		return fmt.Errorf("reopen: %w; the old file stays in use", err)
	}
	to.Continue(d.to)
	err = d.end()
	d.to, d.cut = to, false
	return err
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
	if !d.cut {
		err = d.to.Write(&queue.Block{Data: []byte(d.kind.footer())})
	}
	return errors.Join(err, d.to.Close())
}
