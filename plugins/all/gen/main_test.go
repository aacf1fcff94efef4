package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListIsCurrent(t *testing.T) {
	want, err := list("../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../all.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("all.go is stale, run go generate ./plugins/all (-want +got)\n%s", diff)
	}
}
