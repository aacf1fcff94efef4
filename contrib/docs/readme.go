package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// readmes are the READMEs with their tables as they have to be. The error tells
// of those that are left out.
func readmes(top string, specs []plugin.Spec) ([]file, error) {
	var files []file
	var errs []error
	add := func(path string, tables ...table) {
		path = filepath.Join(top, path)
		text, err := fill(path, tables)
		if err != nil {
			errs = append(errs, err)
			return
		}
		files = append(files, file{path, []byte(text)})
	}
	for _, s := range specs {
		tables := []table{{"options", option.Markdown(s.Options)}}
		if s.Gives != 0 { // outputs publish nothing, and say in words what they read
			keys, err := keyTable(s)
			if err != nil {
				return nil, err
			}
			tables = append(tables, table{"keys", keys})
		}
		add(folder(s)+"/README.md", tables...)
	}
	add("README.md", table{"plugins", pluginTable(specs)})
	add("ULOGD1.md", table{"plugins", firstPlugins()}, table{"options", firstOptions()})
	return files, errors.Join(errs...)
}

// table is the text between <!-- name --> and <!-- /name -->.
type table struct{ name, text string }

// fill is the text of a file with its tables in their places.
func fill(path string, tables []table) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(data)
	for _, t := range tables {
		begin, end := "<!-- "+t.name+" -->\n", "<!-- /"+t.name+" -->\n"
		before, rest, hasBegin := strings.Cut(text, begin)
		_, after, hasEnd := strings.Cut(rest, end)
		if !hasBegin || !hasEnd {
			return "", fmt.Errorf("%s: no place for the table of %s; put the lines %q and %q where it belongs",
				path, t.name, strings.TrimSpace(begin), strings.TrimSpace(end))
		}
		text = before + begin + t.text + end + after
	}
	return text, nil
}

// keyTable says which keys a plugin reads, and lists those that it publishes.
func keyTable(s plugin.Spec) (string, error) {
	x, err := s.Describe()
	if err != nil {
		return "", fmt.Errorf("plugin %s: describe: %w", s.Name, err)
	}
	var binder event.Binder
	x.Bind(&binder)
	var b strings.Builder
	b.WriteString(reads(&binder))
	if keys := binder.Keys(); len(keys) > 0 {
		b.WriteString("| key | type | meaning |\n|---|---|---|\n")
		for _, k := range keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, typeName(k.Kind), meaning(k))
		}
	} else {
		b.WriteString("Publishes no keys.\n")
	}
	return b.String(), nil
}

// reads is a paragraph about inputs.
func reads(b *event.Binder) string {
	var needed, optional []string
	for _, in := range b.Inputs() {
		if in.Optional {
			optional = append(optional, "`"+in.Name+"`")
		} else {
			needed = append(needed, "`"+in.Name+"`")
		}
	}
	var sentences []string
	if len(needed) > 0 {
		sentences = append(sentences, "Needs "+strings.Join(needed, ", ")+".")
	}
	if len(optional) > 0 {
		sentences = append(sentences, "Reads if it is there "+strings.Join(optional, ", ")+".")
	}
	if len(sentences) == 0 {
		return ""
	}
	return strings.Join(sentences, "\n") + "\n\n"
}

// typeName is the type as `ulogd -i` prints it, but for the one without a name there.
func typeName(k event.Kind) string {
	if k == event.Literal {
		return "SQL literal"
	}
	return k.String()
}

func meaning(k event.Key) string {
	text := strings.ReplaceAll(k.Doc, "|", `\|`)
	if k.JSON != "" {
		text += "; `" + k.JSON + "` in JSON"
	}
	if k.Extra {
		text += " (not in ulogd)"
	}
	return text
}

// pluginTable lists the plugins, with links to their READMEs.
func pluginTable(specs []plugin.Spec) string {
	var b strings.Builder
	b.WriteString("| plugin | what it does |\n|---|---|\n")
	for _, s := range specs {
		fmt.Fprintf(&b, "| [%s](%s/) | %s |\n", s.Name, folder(s), s.Summary)
	}
	return b.String()
}
