package config

import (
	"fmt"
	"strings"
)

// Stack is a stack = line. A stack of no instances is valid and does nothing,
// as in ulogd.
type Stack struct {
	Text      string
	Line      int
	Instances []Instance
	Err       error // syntax error; Instances is nil
}

// Instance is one element of a stack, written name:PLUGIN.
type Instance struct{ Name, Plugin string }

// maxName is the length of the longest instance name, in bytes.
const maxName = 30

// ParseStack reads the text of a stack. Elements stand between commas; empty
// ones are ignored. A blank is part of the name or of the plugin.
func ParseStack(text string) ([]Instance, error) {
	var stack []Instance
	for element := range strings.SplitSeq(text, ",") {
		if element == "" {
			continue
		}
		name, plugin, ok := strings.Cut(element, ":")
		if !ok {
			return nil, stackError(text, element, "no colon; write name:PLUGIN")
		}
		if len(name) > maxName {
			return nil, stackError(text, element, fmt.Sprintf("the name has %d characters; use at most %d", len(name), maxName))
		}
		stack = append(stack, Instance{name, plugin})
	}
	return stack, nil
}

// stackError begins as ulogd's message does, missing blank included, because
// log watchers match it (reference, section 4.1).
func stackError(text, element, problem string) error {
	first, _, _ := strings.Cut(text, ",")
	return fmt.Errorf("syntax error while parsing `%s'of line `%s': %s", element, first, problem)
}
