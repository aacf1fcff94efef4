package pipeline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// rejectFile keeps the rows that the receiver will never accept, beside the
// queue's spool, a JSON object a line.
type rejectFile struct {
	path  string // empty for a queue without a spool: then rows are only counted
	env   *plugin.Env
	last  mark // the row that was kept last
	known bool // last was read from the file
}

// mark is the number of a row, by which it is kept only once.
type mark struct {
	Epoch string `json:"epoch"`
	Row   uint64 `json:"row"`
}

// rejected is a line of the file.
type rejected struct {
	Time   time.Time `json:"time"`
	Output string    `json:"output"`
	mark
	Error  string          `json:"error"`
	Values json.RawMessage `json:"values"`
}

// Name and largest size of the file. A file that is full becomes a second one, which
// takes the place of an older second one.
const (
	rejectName = "rejects.jsonl"
	rejectSize = 64 << 20
)

func newRejectFile(dir string, env *plugin.Env) *rejectFile {
	f := &rejectFile{env: env}
	if dir != "" {
		f.path = filepath.Join(dir, rejectName)
	}
	return f
}

// keep appends row i of a block with the reason. A row that is there already,
// since the daemon was killed before it could say so, is not kept again.
func (f *rejectFile) keep(o plugin.Output, blk *queue.Block, i int, reason error) error {
	if f.path == "" {
		return nil
	}
	if err := f.read(); err != nil {
		return err
	}
	m := mark{blk.Epoch, blk.First + uint64(i)}
	if f.last.Epoch == m.Epoch && f.last.Row >= m.Row {
		return nil
	}
	line, err := json.Marshal(rejected{
		Time: f.env.Now(), Output: f.env.Instance, mark: m, Error: reason.Error(), Values: values(o, blk, i),
	})
	if err != nil {
		return err
	}
	if err := f.append(append(line, '\n')); err != nil {
		f.known = false // a part of the line may be there, to be ended before the next
		return fmt.Errorf("file of rejected rows: %w", err)
	}
	f.last = m
	return nil
}

// values is the row as JSON: the columns of a database's row, or else its text.
func values(o plugin.Output, blk *queue.Block, i int) json.RawMessage {
	if r, ok := o.(plugin.Recorder); ok {
		return r.AppendRow(nil, blk, i)
	}
	text, _ := json.Marshal(string(blk.Row(i))) // a string always can be
	return text
}

// read finds the last row that the file has. A line that was cut by a crash is
// ended, lest the next one hangs on it.
func (f *rejectFile) read() error {
	if f.known {
		return nil
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		f.known = true
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReader(file)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var row rejected
			if json.Unmarshal(line, &row) == nil {
				f.last = row.mark
			}
		}
		if errors.Is(err, io.EOF) {
			f.known = true
			return endLine(file, line)
		}
		if err != nil {
			return err
		}
	}
}

func endLine(file *os.File, last []byte) error {
	if len(last) == 0 {
		return nil
	}
	_, err := file.Write([]byte{'\n'})
	return err
}

// append adds a line, and sees to it that it survives whatever comes.
func (f *rejectFile) append(line []byte) error {
	if info, err := os.Stat(f.path); err == nil && info.Size() > rejectSize {
		if err := os.Rename(f.path, f.path+".1"); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(line)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return f.env.Files.Give(f.path)
}
