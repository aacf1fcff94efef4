package lab

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// Listeners lists who reads NFLOG groups of the namespace.
func (ns *NS) Listeners() (list []nflog.Bound, err error) {
	err = ns.Do(func() error {
		f, err := os.Open("/proc/thread-self/" + nflog.ProcFile)
		if err != nil {
			return fmt.Errorf("list NFLOG readers (is nfnetlink_log in the kernel?): %w", err)
		}
		defer f.Close()
		list, err = nflog.ParseProc(f)
		return err
	})
	return list, err
}

// WaitListener waits until somebody reads the group, and tells who.
func (ns *NS) WaitListener(ctx context.Context, group uint16) (nflog.Bound, error) {
	for {
		list, err := ns.Listeners()
		if err != nil {
			return nflog.Bound{}, err
		}
		for _, l := range list {
			if l.Group == group {
				return l, nil
			}
		}
		select {
		case <-ctx.Done():
			return nflog.Bound{}, fmt.Errorf("nobody reads NFLOG group %d: %w", group, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
