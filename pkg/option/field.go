package option

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Field describes one option.
type Field struct {
	Name      string
	Type      string // "Integer" or "String", as ulogd -i prints it
	Default   string // as ulogd -i prints it: a bool is 0 or 1
	Doc       string
	Mandatory bool // has no default
	Needed    bool // has one, as in ulogd, with which the plugin does not start
	Extra     bool // ulogd has no such option
	Secret    bool // its value is never shown

	// GoKind is reflect.Bool, an integer kind, reflect.Float64, or
	// reflect.String for all that is written as text, sizes and durations
	// among them.
	GoKind reflect.Kind
}

// written is the option with its value, as errors show it.
func (f Field) written(value string) string {
	if f.Secret {
		return f.Name
	}
	return f.Name + " = " + strconv.Quote(value)
}

// redact is err unless it may quote a secret.
func (f Field) redact(err error) error {
	if f.Secret {
		return errors.New("value is not accepted")
	}
	return err
}

// field is a Field with the place where its value goes.
type field struct {
	Field
	v reflect.Value
}

// Fields describes the options of a struct, or of the struct that defaults
// points to, in the order of its fields. It is nil for anything else.
func Fields(defaults any) []Field {
	fields, err := fieldsOf(addressable(defaults))
	if err != nil {
		return nil
	}
	described := make([]Field, len(fields))
	for i, f := range fields {
		described[i] = f.Field
	}
	return described
}

// Check returns an error if defaults is not a struct, or a pointer to one,
// that Apply can set: unsupported types, names missing or used twice, options
// without documentation, wrong tags. It is meant for registration.
func Check(defaults any) error {
	fields, err := fieldsOf(addressable(defaults))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.Name] {
			return fmt.Errorf("option %s: declared twice; rename one of them", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// addressable is a pointer to a copy of the struct v, so that methods with
// pointer receivers can be called on its fields.
func addressable(v any) any {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct {
		return v
	}
	p := reflect.New(rv.Type())
	p.Elem().Set(rv)
	return p.Interface()
}

// fieldsOf lists the fields of the struct that dst points to.
func fieldsOf(dst any) ([]field, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("options are a %T; want a pointer to a struct", dst)
	}
	return appendFields(nil, v.Elem())
}

func appendFields(fields []field, v reflect.Value) ([]field, error) {
	for i := range v.NumField() {
		sf, fv := v.Type().Field(i), v.Field(i)
		tag, tagged := sf.Tag.Lookup("toml")
		if tag == "-" {
			continue
		}
		var err error
		if sf.Anonymous && !tagged && fv.Kind() == reflect.Struct {
			fields, err = appendFields(fields, fv)
		} else {
			var f field
			f, err = newField(sf, fv)
			fields = append(fields, f)
		}
		if err != nil {
			return nil, err
		}
	}
	return fields, nil
}

func newField(sf reflect.StructField, v reflect.Value) (field, error) {
	f := field{v: v, Field: Field{Name: sf.Tag.Get("toml"), Doc: sf.Tag.Get("doc")}}
	switch {
	case !sf.IsExported():
		return f, fmt.Errorf("options field %s: not exported", sf.Name)
	case f.Name == "":
		return f, fmt.Errorf("options field %s: no toml tag", sf.Name)
	case !bare(f.Name):
		return f, fmt.Errorf("options field %s: name %q has other characters than letters, digits, _ and -", sf.Name, f.Name)
	case f.Doc == "":
		return f, fmt.Errorf("options field %s: no doc tag", sf.Name)
	}
	err := errors.Join(flag(sf, "mandatory", &f.Mandatory), flag(sf, "needed", &f.Needed),
		flag(sf, "extra", &f.Extra), flag(sf, "secret", &f.Secret), f.classify())
	if err != nil {
		return f, fmt.Errorf("options field %s: %w", sf.Name, err)
	}
	f.Default = f.text()
	if text, ok := sf.Tag.Lookup("default"); ok {
		f.Default = text
	}
	return f, nil
}

// flag sets *to from a tag that is "true" or absent.
func flag(sf reflect.StructField, tag string, to *bool) error {
	text, ok := sf.Tag.Lookup(tag)
	if *to = ok; ok && text != "true" {
		return fmt.Errorf("tag %s:%q; want \"true\" or none", tag, text)
	}
	return nil
}

// classify sets Type and GoKind. A type's own text form goes before its kind.
func (f *field) classify() error {
	f.Type, f.GoKind = "String", reflect.String
	switch p := f.v.Addr().Interface().(type) {
	case *time.Duration, *Size:
		return nil
	case encoding.TextUnmarshaler:
		if _, ok := p.(encoding.TextMarshaler); ok {
			return nil
		}
		return fmt.Errorf("type %s has UnmarshalText; give it MarshalText too", f.v.Type())
	}
	switch k := f.v.Kind(); k {
	case reflect.String:
		return nil
	case reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Float64:
		f.Type, f.GoKind = "Integer", k
		return nil
	}
	return fmt.Errorf("type %s is not supported; give it UnmarshalText and MarshalText", f.v.Type())
}

// text is the value of f as ulogd -i prints it.
func (f *field) text() string {
	switch p := f.v.Addr().Interface().(type) {
	case *time.Duration:
		return p.String()
	case *Size:
		return p.String()
	case encoding.TextMarshaler:
		// A zero value that has no text is one that was not set.
		text, err := p.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	}
	switch v := f.v; {
	case v.Kind() == reflect.Bool && v.Bool():
		return "1"
	case v.Kind() == reflect.Bool:
		return "0"
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return f.v.String()
}
