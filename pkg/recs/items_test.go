package recs_test

import (
	"reflect"
	"strings"
	"testing"

	"genrec/pkg/recs"
)

func TestMetadata(t *testing.T) {
	s := newShop(t)
	for _, command := range [][]any{
		{"HSET", "genrec:titles", "m1", "Red kettle", "m2", ""},
		{"HSET", "genrec:categories", "m1", "Kitchen|Sale", "m3", "Garden"},
	} {
		if err := s.rdb.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.client.Metadata(t.Context(), []string{"m1", "m2", "m3", "m4"})
	want := map[string]recs.Metadata{"m1": {Title: "Red kettle", Categories: []string{"Kitchen", "Sale"}}, "m3": {Categories: []string{"Garden"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
	if got, err := s.client.Metadata(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("without items: got %+v, error %v", got, err)
	}
	s.rdb.Set(t.Context(), "genrec:titles", "no hash", 0)
	if _, err := s.client.Metadata(t.Context(), []string{"m1"}); err == nil || !strings.Contains(err.Error(), "the key genrec:titles has the wrong type") {
		t.Errorf("error %v, want one that names the key", err)
	}
}

func TestPopularItems(t *testing.T) {
	s := newShop(t)
	if l, err := s.client.Popular(t.Context()); err != nil || len(l.Items) != 0 {
		t.Errorf("got %+v, error %v, want an empty list", l, err)
	}
	s.recommends("", "p1", "p2")
	if l, err := s.client.Popular(t.Context()); err != nil || len(l.Items) != 2 || l.Items[0].Item != "p1" {
		t.Errorf("got %+v, error %v, want p1 and p2", l, err)
	}
}
