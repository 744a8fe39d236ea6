package importer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// converter returns a value of a column as text, as CSV has it.
type converter func(parquet.Value) (string, error)

// converterFor returns the converter of a column for a field of an event. It returns an error with
// the column's type if none of its values can be one of the field.
func converterFor(field string, kind parquet.Type, element format.SchemaElement) (converter, error) {
	isTime, isContext := field == "timestamp", field == "context"
	unusable := func(name string) (converter, error) {
		switch {
		case isTime:
			return nil, fmt.Errorf("has the type %s, want a timestamp, a number or a string", name)
		case isContext:
			return nil, fmt.Errorf("has the type %s, want a string with a JSON object", name)
		default:
			return nil, fmt.Errorf("has the type %s, want a string, an integer, a decimal or a UUID", name)
		}
	}
	logical := kind.LogicalType()
	if logical == nil || logical.Value == nil {
		switch {
		case element.LogicalType.Value != nil: // unknown to the library
			return unusable(element.LogicalType.String())
		case element.ConvertedType.Valid:
			return unusable(kind.String())
		}
		return physicalConverter(isTime, kind, unusable)
	}
	switch of := logical.Value.(type) {
	case *format.NullType: // a column without values
		if !slices.Contains(requiredFields, field) {
			return textOf, nil
		}
	case *format.StringType, *format.EnumType:
		return textOf, nil
	case *format.JsonType:
		if isContext {
			return textOf, nil
		}
	case *format.UUIDType:
		if !isTime && !isContext && kind.Length() == len(uuid.UUID{}) {
			return func(v parquet.Value) (string, error) { return uuid.UUID(v.ByteArray()).String(), nil }, nil
		}
	case *format.DecimalType:
		if !isContext && of.Scale >= 0 && of.Scale <= maxScale {
			return func(v parquet.Value) (string, error) { return decimalText(v, int(of.Scale)) }, nil
		}
	case *format.IntType:
		if !isContext {
			return integerConverter(of.IsSigned), nil
		}
	case *format.TimestampType:
		if isTime && of.Unit.Value != nil {
			unit := of.Unit.Value.Duration()
			return func(v parquet.Value) (string, error) { return timeText(v.Int64(), unit), nil }, nil
		}
	case *format.DateType:
		if isTime {
			return func(v parquet.Value) (string, error) {
				return time.Unix(int64(v.Int32())*secondsOfDay, 0).UTC().Format(time.DateOnly), nil
			}, nil
		}
	}
	return unusable(logical.String())
}

// physicalConverter is converterFor for a column without a logical type.
func physicalConverter(isTime bool, kind parquet.Type, unusable func(string) (converter, error)) (converter, error) {
	switch kind.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return textOf, nil
	case parquet.Int32, parquet.Int64:
		return integerConverter(true), nil
	case parquet.Int96:
		if isTime {
			return func(v parquet.Value) (string, error) { return sparkTime(v.Int96()).Format(time.RFC3339Nano), nil }, nil
		}
	case parquet.Float, parquet.Double:
		return floatConverter(isTime, kind.Kind()), nil
	}
	return unusable(kind.String())
}

const secondsOfDay = 24 * 60 * 60

func textOf(v parquet.Value) (string, error) { return string(v.ByteArray()), nil }

func integerConverter(signed bool) converter {
	return func(v parquet.Value) (string, error) {
		switch {
		case v.Kind() == parquet.Int32 && signed:
			return strconv.FormatInt(int64(v.Int32()), 10), nil
		case v.Kind() == parquet.Int32:
			return strconv.FormatUint(uint64(v.Uint32()), 10), nil
		case signed:
			return strconv.FormatInt(v.Int64(), 10), nil
		default:
			return strconv.FormatUint(v.Uint64(), 10), nil
		}
	}
}

// floatConverter accepts any number as a time. As an id it must be an integer: pandas converts
// integer columns with missing values to floating point.
func floatConverter(isTime bool, kind parquet.Kind) converter {
	return func(v parquet.Value) (string, error) {
		n, bits := v.Double(), 64
		if kind == parquet.Float {
			n, bits = float64(v.Float()), 32
		}
		if isTime {
			return strconv.FormatFloat(n, 'f', -1, 64), nil
		}
		text, ok := wholeNumber(n, bits)
		if !ok {
			return "", fmt.Errorf("is %v, want an integer", n)
		}
		return text, nil
	}
}

// wholeNumber formats a floating-point number that represents exactly one integer.
func wholeNumber(n float64, bits int) (string, bool) {
	limit := float64(1 << 53)
	if bits == 32 {
		limit = 1 << 24
	}
	if n != math.Trunc(n) || math.Abs(n) > limit {
		return "", false
	}
	return strconv.FormatInt(int64(n), 10), true
}

// timeText formats a time given in units since the Unix epoch.
func timeText(n int64, unit time.Duration) string {
	perSecond := int64(time.Second / unit)
	return time.Unix(n/perSecond, n%perSecond*int64(unit)).UTC().Format(time.RFC3339Nano)
}

// sparkTime converts a time as Spark writes it: the nanoseconds of the day, and the Julian day.
func sparkTime(at deprecated.Int96) time.Time {
	const epoch = 2_440_588
	nanos := int64(at[1])<<32 | int64(at[0])
	return time.Unix((int64(at[2])-epoch)*secondsOfDay, nanos).UTC()
}

// maxScale bounds the digits after the decimal point; data warehouses have at most 76.
const maxScale = 1000

// decimalText formats a decimal with all digits of its scale.
func decimalText(v parquet.Value, scale int) (string, error) {
	var digits string
	switch v.Kind() {
	case parquet.Int32:
		digits = strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		digits = strconv.FormatInt(v.Int64(), 10)
	default:
		const mostBytes = 256 // about 600 digits
		if len(v.ByteArray()) > mostBytes {
			return "", errors.New("is a decimal with too many digits")
		}
		digits = bigEndian(v.ByteArray())
	}
	if scale == 0 {
		return digits, nil
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	return sign + digits[:point] + "." + digits[point:], nil
}

// bigEndian formats a big-endian integer in two's complement.
func bigEndian(data []byte) string {
	const word = 8
	if len(data) == 0 {
		return "0"
	}
	fill := byte(int8(data[0]) >> 7) // 0 or -1
	for len(data) > word && data[0] == fill && byte(int8(data[1])>>7) == fill {
		data = data[1:]
	}
	if len(data) <= word {
		var padded [word]byte
		for i := range padded {
			padded[i] = fill
		}
		copy(padded[word-len(data):], data)
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(padded[:])), 10)
	}
	n := new(big.Int).SetBytes(data)
	if fill != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(data))*8))
	}
	return n.String()
}
