package unixsock

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// peers are who may connect: whoever the mode of the file lets, unless it lists
// somebody.
type peers struct {
	list         []string // as written
	users, group []uint32
}

// UnmarshalText reads users and, with an @ before them, groups, by name or number.
func (p *peers) UnmarshalText(text []byte) error {
	*p = peers{}
	for _, item := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ' ' }) {
		var id uint32
		var err error
		if name, isGroup := strings.CutPrefix(item, "@"); isGroup {
			id, err = groupID(name)
			p.group = append(p.group, id)
		} else {
			id, err = userID(item)
			p.users = append(p.users, id)
		}
		if err != nil {
			return err
		}
		p.list = append(p.list, item)
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (p peers) MarshalText() ([]byte, error) { return []byte(strings.Join(p.list, ",")), nil }

// allow tells whether a process may connect.
func (p peers) allow(c *unix.Ucred) bool {
	return len(p.list) == 0 || slices.Contains(p.users, c.Uid) || slices.Contains(p.group, c.Gid)
}

// userID is the number of a user by name, or the number itself.
func userID(name string) (uint32, error) {
	if u, err := user.Lookup(name); err == nil {
		name = u.Uid
	}
	return number(name, "there is no user %s; name one, or give a number")
}

// groupID is the number of a group by name, or the number itself.
func groupID(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	return number(name, "there is no group %s; name one, or give a number")
}

func number(text, format string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf(format, text)
	}
	return uint32(n), nil
}
