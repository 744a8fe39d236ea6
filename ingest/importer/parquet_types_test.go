package importer

import (
	"bytes"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// noon is what all times of these tests say.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// parquetOf is a file with one row of these columns.
func parquetOf(t testing.TB, columns map[string]parquet.Node, values map[string]parquet.Value) []byte {
	t.Helper()
	group := parquet.Group{"user_id": parquet.String(), "item_id": parquet.String(), "timestamp": parquet.Timestamp(parquet.Millisecond)}
	row := map[string]parquet.Value{"user_id": parquet.ByteArrayValue([]byte("ann")), "item_id": parquet.ByteArrayValue([]byte("apple")), "timestamp": parquet.Int64Value(noon.UnixMilli())}
	for name, node := range columns {
		group[name], row[name] = node, values[name]
	}
	schema := parquet.NewSchema("events", group)
	var out bytes.Buffer
	w := parquet.NewWriter(&out, schema)
	var record parquet.Row
	for i, path := range schema.Columns() {
		record = append(record, row[path[0]].Level(0, 0, i))
	}
	if _, err := w.WriteRows([]parquet.Row{record}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// importOne imports a file with the column of one field in another type.
func importOne(t *testing.T, field string, node parquet.Node, value parquet.Value) (*harness, error) {
	t.Helper()
	h := newHarness()
	path := write(t, "a.parquet", parquetOf(t, map[string]parquet.Node{field: node}, map[string]parquet.Value{field: value}))
	_, err := Run(t.Context(), h.Config, h, []string{path})
	return h, err
}

func twosComplement(n *big.Int, size int) []byte {
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8))
	}
	return n.FillBytes(make([]byte, size))
}

func TestParquetIDs(t *testing.T) {
	huge, _ := new(big.Int).SetString("12345678901234567890123456789012345678", 10)
	for _, c := range []struct {
		name  string
		node  parquet.Node
		value parquet.Value
		want  string
	}{
		{"DECIMAL(9,0) in INT32", parquet.Decimal(0, 9, parquet.Int32Type), parquet.Int32Value(123), "123"},
		{"DECIMAL(9,2) in INT32", parquet.Decimal(2, 9, parquet.Int32Type), parquet.Int32Value(1050), "10.50"},
		{"DECIMAL(18,4) in INT64", parquet.Decimal(4, 18, parquet.Int64Type), parquet.Int64Value(-7), "-0.0007"},
		{"DECIMAL(38,0) in 16 bytes", parquet.Decimal(0, 38, parquet.FixedLenByteArrayType(16)), parquet.FixedLenByteArrayValue(twosComplement(big.NewInt(42), 16)), "42"},
		{"the largest DECIMAL(38,0)", parquet.Decimal(0, 38, parquet.FixedLenByteArrayType(16)), parquet.FixedLenByteArrayValue(twosComplement(huge, 16)), huge.String()},
		{"a negative DECIMAL(38,2)", parquet.Decimal(2, 38, parquet.FixedLenByteArrayType(16)), parquet.FixedLenByteArrayValue(twosComplement(new(big.Int).Neg(huge), 16)), "-123456789012345678901234567890123456.78"},
		{"the least of 8 bytes", parquet.Decimal(0, 20, parquet.FixedLenByteArrayType(9)), parquet.FixedLenByteArrayValue(twosComplement(big.NewInt(math.MinInt64), 9)), "-9223372036854775808"},
		{"beyond 8 bytes", parquet.Decimal(0, 20, parquet.FixedLenByteArrayType(9)), parquet.FixedLenByteArrayValue(twosComplement(new(big.Int).SetUint64(math.MaxUint64), 9)), "18446744073709551615"},
		{"DECIMAL(5,2) in BYTE_ARRAY", parquet.Decimal(2, 5, parquet.ByteArrayType), parquet.ByteArrayValue([]byte{0xff, 0x38}), "-2.00"},
		{"DECIMAL of no bytes", parquet.Decimal(0, 5, parquet.ByteArrayType), parquet.ByteArrayValue(nil), "0"},
		{"UUID", parquet.UUID(), parquet.FixedLenByteArrayValue([]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0}), "123e4567-e89b-12d3-a456-426614174000"},
		{"ENUM", parquet.Enum(), parquet.ByteArrayValue([]byte("red")), "red"},
		{"BYTE_ARRAY", parquet.Leaf(parquet.ByteArrayType), parquet.ByteArrayValue([]byte("plain")), "plain"},
		{"UINT_64", parquet.Uint(64), parquet.Int64Value(-1), "18446744073709551615"},
		{"UINT_32", parquet.Uint(32), parquet.Int32Value(-1), "4294967295"},
		{"INT_8", parquet.Int(8), parquet.Int32Value(-5), "-5"},
		{"DOUBLE", parquet.Leaf(parquet.DoubleType), parquet.DoubleValue(42), "42"},
		{"FLOAT", parquet.Leaf(parquet.FloatType), parquet.FloatValue(42), "42"},
	} {
		h, err := importOne(t, "user_id", c.node, c.value)
		if err != nil || len(h.events[c.want]) != 1 {
			t.Errorf("%s: the events are %v, error %v, want one of %s; rejected %+v", c.name, h.events, err, c.want, h.rejected)
		}
	}
}

func TestParquetTimes(t *testing.T) {
	seconds := noon.Unix()
	var unscaled [16]byte
	big.NewInt(seconds * 1000).FillBytes(unscaled[:])
	for _, c := range []struct {
		name  string
		node  parquet.Node
		value parquet.Value
	}{
		{"milliseconds", parquet.Timestamp(parquet.Millisecond), parquet.Int64Value(noon.UnixMilli())},
		{"microseconds", parquet.Timestamp(parquet.Microsecond), parquet.Int64Value(noon.UnixMicro())},
		{"nanoseconds", parquet.Timestamp(parquet.Nanosecond), parquet.Int64Value(noon.UnixNano())},
		{"local time", parquet.TimestampAdjusted(parquet.Microsecond, false), parquet.Int64Value(noon.UnixMicro())},
		{"seconds in INT64", parquet.Int(64), parquet.Int64Value(seconds)},
		{"seconds in INT32", parquet.Int(32), parquet.Int32Value(int32(seconds))},
		{"seconds in UINT_32", parquet.Uint(32), parquet.Int32Value(int32(seconds))},
		{"milliseconds in INT64", parquet.Leaf(parquet.Int64Type), parquet.Int64Value(noon.UnixMilli())},
		{"seconds in DOUBLE", parquet.Leaf(parquet.DoubleType), parquet.DoubleValue(float64(seconds))},
		{"milliseconds in DOUBLE", parquet.Leaf(parquet.DoubleType), parquet.DoubleValue(float64(noon.UnixMilli()))},
		{"seconds in FLOAT", parquet.Leaf(parquet.FloatType), parquet.FloatValue(float32(seconds))},
		{"DECIMAL(20,3)", parquet.Decimal(3, 20, parquet.FixedLenByteArrayType(16)), parquet.FixedLenByteArrayValue(unscaled[:])},
		{"DECIMAL(10,0)", parquet.Decimal(0, 10, parquet.Int64Type), parquet.Int64Value(seconds)},
		{"a text", parquet.String(), parquet.ByteArrayValue([]byte("2026-03-01 12:00:00 "))},
	} {
		h, err := importOne(t, "timestamp", c.node, c.value)
		if err != nil || len(h.events["ann"]) != 1 || h.events["ann"][0].Time.Sub(noon).Abs() > 65*time.Second { // FLOAT has no more digits
			t.Errorf("%s: the events are %v, error %v, want one at %v; rejected %+v", c.name, h.events, err, noon, h.rejected)
		}
		if c.name != "seconds in FLOAT" && err == nil && !h.events["ann"][0].Time.Equal(noon) {
			t.Errorf("%s: the time is %v, want %v", c.name, h.events["ann"][0].Time, noon)
		}
	}
}

func TestParquetContextAndType(t *testing.T) {
	columns := map[string]parquet.Node{"context": parquet.JSON(), "type": parquet.Enum()}
	values := map[string]parquet.Value{"context": parquet.ByteArrayValue([]byte(`{"a": 1}`)), "type": parquet.ByteArrayValue([]byte("click"))}
	h := newHarness()
	h.run(t, write(t, "a.parquet", parquetOf(t, columns, values)))
	if e := h.events["ann"][0]; string(e.Context) != `{"a": 1}` || e.Type != "click" {
		t.Errorf("the event is %+v", e)
	}
}

// A type that cannot be a field is named with the column, before any row is imported.
func TestParquetTypeErrors(t *testing.T) {
	twelve, two := make([]byte, 12), make([]byte, 2)
	for _, c := range []struct {
		field string
		node  parquet.Node
		value parquet.Value
		want  string
	}{
		{"user_id", parquet.Leaf(parquet.BooleanType), parquet.BooleanValue(true), `the column "user_id" for user_id has the type BOOLEAN`},
		{"user_id", parquet.Timestamp(parquet.Millisecond), parquet.Int64Value(1), "has the type TIMESTAMP"},
		{"item_id", parquet.Date(), parquet.Int32Value(1), `the column "item_id" for item_id has the type DATE`},
		{"item_id", parquet.JSON(), parquet.ByteArrayValue([]byte("1")), "has the type JSON"},
		{"item_id", parquet.BSON(), parquet.ByteArrayValue([]byte("1")), "has the type BSON"},
		{"item_id", parquet.IntervalNode(), parquet.FixedLenByteArrayValue(twelve), "has the type INTERVAL"},
		{"timestamp", parquet.Time(parquet.Millisecond), parquet.Int32Value(1), "has the type TIME("},
		{"timestamp", parquet.UUID(), parquet.FixedLenByteArrayValue(make([]byte, 16)), "has the type UUID, want a time"},
		{"context", parquet.Leaf(parquet.Int64Type), parquet.Int64Value(1), "want a string with a JSON object"},
		{"user_id", parquet.Leaf(float16{parquet.FixedLenByteArrayType(2)}), parquet.FixedLenByteArrayValue(two), "has the type FLOAT16"},
	} {
		h, err := importOne(t, c.field, c.node, c.value)
		if err == nil && c.want == "want a string with a JSON object" { // context is optional, but its type is checked
			t.Errorf("%s of %s is accepted", c.field, c.node)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "a.parquet") || len(h.events) > 0 {
			t.Errorf("%s of %s: error %v, want one with %q", c.field, c.node, err, c.want)
		}
	}
	for _, n := range []float64{1.5, math.NaN(), math.Inf(1), 1 << 60} {
		_, err := importOne(t, "user_id", parquet.Leaf(parquet.DoubleType), parquet.DoubleValue(n))
		if err == nil || !strings.Contains(err.Error(), "want an integer") {
			t.Errorf("the id %v: error %v", n, err)
		}
	}
}

// float16 is a type that the library does not support.
type float16 struct{ parquet.Type }

func (float16) LogicalType() *format.LogicalType {
	return &format.LogicalType{Value: &format.Float16Type{}}
}

// Columns inside of groups are called by their path; lists are rejected by name.
func TestParquetGroupsAndLists(t *testing.T) {
	type row struct {
		Who struct {
			ID string `parquet:"id"`
		} `parquet:"who"`
		Item string   `parquet:"item_id"`
		Tags []string `parquet:"tags,list"`
		Time int64    `parquet:"timestamp"`
	}
	one := row{Item: "apple", Tags: []string{"a"}, Time: noon.UnixMilli()}
	one.Who.ID = "ann"
	var file bytes.Buffer
	if err := parquet.Write(&file, []row{one}); err != nil {
		t.Fatal(err)
	}
	path := write(t, "a.parquet", file.Bytes())
	h := newHarness()
	h.Mapping.Columns = Columns{"who.id": "user_id"}
	if h.run(t, path); len(h.events["ann"]) != 1 {
		t.Errorf("the events are %v", h.events)
	}
	h.Mapping.Columns = Columns{"who.id": "user_id", "tags": "item_id"}
	if _, err := Run(t.Context(), h.Config, h, []string{path}); err == nil || !strings.Contains(err.Error(), `the column "tags" for item_id is a list`) {
		t.Errorf("a list ends in %v", err)
	}
	type lists struct {
		User  string   `parquet:"user_id"`
		Items []string `parquet:"item_id,list"`
		Time  int64    `parquet:"timestamp"`
	}
	file.Reset()
	if err := parquet.Write(&file, []lists{{"ann", []string{"apple"}, noon.UnixMilli()}}); err != nil {
		t.Fatal(err)
	}
	h.Mapping.Columns = nil
	if _, err := Run(t.Context(), h.Config, h, []string{write(t, "a.parquet", file.Bytes())}); err == nil || !strings.Contains(err.Error(), `the column "item_id" for item_id is a list`) {
		t.Errorf("a list with the name of a field ends in %v", err)
	}
}
