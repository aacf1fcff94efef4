package main

import (
	"errors"
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	f := func(name, in string, want counts, wantOutput string) {
		t.Helper()
		var out strings.Builder
		got, err := summarize(strings.NewReader(in), &out)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if out.String() != wantOutput {
			t.Errorf("%s: output\n%s\nwant\n%s", name, &out, wantOutput)
		}
	}
	f("nothing", "", counts{}, "")
	f("passed, with a subtest; a package without tests", `
		{"Action":"start","Package":"p"}
		{"Action":"run","Package":"p","Test":"T"}
		{"Action":"output","Package":"p","Test":"T","Output":"noise\n"}
		{"Action":"pass","Package":"p","Test":"T/a"}
		{"Action":"pass","Package":"p","Test":"T"}
		{"Action":"output","Package":"p","Output":"ok\n"}
		{"Action":"pass","Package":"p","Elapsed":1.25}
		{"Action":"skip","Package":"q"}`,
		counts{passed: 2}, "ok   p (1.2 s)\n")
	f("skipped: the reason is shown", `
		{"Action":"output","Package":"p","Test":"T","Output":"=== RUN   T\n"}
		{"Action":"output","Package":"p","Test":"T","Output":"    x_test.go:9: needs root\n"}
		{"Action":"output","Package":"p","Test":"T","Output":"--- SKIP: T (0.00s)\n"}
		{"Action":"skip","Package":"p","Test":"T"}
		{"Action":"skip","Package":"p","Test":"U"}
		{"Action":"pass","Package":"p"}`,
		counts{skipped: 2}, "SKIP p T: x_test.go:9: needs root\nSKIP p U: it gives no reason\nok   p (0.0 s)\n")
	f("failed: what it said is shown, once", `
		{"Action":"output","Package":"p","Test":"T","Output":"x_test.go:9: 1, want 2\n"}
		{"Action":"fail","Package":"p","Test":"T"}
		{"Action":"output","Package":"p","Output":"FAIL\n"}
		{"Action":"fail","Package":"p"}`,
		counts{failed: 1}, "FAIL p T\nx_test.go:9: 1, want 2\nFAIL p (0.0 s)\nFAIL\n")
	f("a package that does not build is a failure", `
		{"Action":"build-output","ImportPath":"p","Output":"x.go:1: syntax error\n"}
		{"Action":"build-fail","ImportPath":"p"}
		{"Action":"fail","Package":"p"}`,
		counts{failed: 1}, "x.go:1: syntax error\nFAIL p (0.0 s)\n")
	f("a package that ends in the midst of a test", `
		{"Action":"pass","Package":"p","Test":"T"}
		{"Action":"output","Package":"p","Test":"U","Output":"panic: no\n"}
		{"Action":"fail","Package":"p"}`,
		counts{passed: 1, failed: 1}, "FAIL p (0.0 s)\nin U:\npanic: no\n")
}

func TestSummarizeDamaged(t *testing.T) {
	got, err := summarize(strings.NewReader(`{"Action":"pass","Package":"p","Test":"T"} nonsense`), new(strings.Builder))
	if err == nil || got.passed != 1 {
		t.Errorf("%v, %v; want one passed and an error", got, err)
	}
}

func TestLacks(t *testing.T) {
	find := func(program string) (string, error) {
		if program == "ulogd" {
			return "", errors.New("not found")
		}
		return "/usr/bin/" + program, nil
	}
	got := lacks(needs, find)
	if len(got) != 1 || !strings.Contains(got[0], "apt-get install ulogd2") {
		t.Errorf("%q, want only what to do about ulogd", got)
	}
}
