package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// FileOptions are the options of outputs that append to a file.
type FileOptions struct {
	File string `toml:"file" doc:"path of the file to append to, which may be a named pipe"`
	Sync bool   `toml:"sync" doc:"write each batch at once; otherwise records wait up to 0.04 s, so that more of them are written together"`
}

// File is the delivering half of an output that appends to a file: all of
// Output but Bind and Encode, and Reopener. It is embedded.
type File struct {
	FileOptions
	QueueOptions queue.Options
	Files        *outfile.Set
	// Header is what an empty file begins with.
	Header []byte

	file *outfile.File
}

// Queue says that records hardly wait, and not at all with sync.
func (f *File) Queue() (queue.Options, queue.Batching) {
	return f.QueueOptions, FileBatching(f.Sync)
}

// FileBatching is how records wait to be written to a file. Without sync it is
// so short that a lone packet is in the file a tenth of a second after it was
// logged, what the kernel waits for others included.
func FileBatching(sync bool) queue.Batching {
	if sync {
		return queue.Batching{}
	}
	return queue.Batching{Age: 40 * time.Millisecond}
}

// Connect opens the file.
func (f *File) Connect(context.Context) error {
	if f.file != nil {
		return Temporary(f.file.Reopen())
	}
	file, err := f.Files.Open(f.FileOptions.File, f.Header)
	if err != nil {
		return Temporary(fmt.Errorf("%w; see to it that the directory exists and that the daemon may write there", err))
	}
	f.file = file
	return nil
}

// Temporary makes of an error of opening a file that may go away by itself, a full
// disk or a pipe that nobody reads, one that is ErrNotConnected. Any other error
// stays as it is.
func Temporary(err error) error {
	for _, e := range []error{outfile.ErrNoReader, os.ErrDeadlineExceeded, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
	}
	return err
}

// Write appends a block.
func (f *File) Write(_ context.Context, blk *queue.Block) error {
	err := f.file.Write(blk)
	if errors.Is(err, outfile.ErrNoReader) {
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return err
}

// Reopen opens the file's path anew.
func (f *File) Reopen(context.Context) error {
	if f.file == nil {
		return nil
	}
	return f.file.Reopen()
}

// Close gives the file up.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
