package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/nlpodyssey/gopickle/types"
)

const (
	legacyMagic    = "1950a86a20f9469cfc6c" // hexadecimal
	legacyProtocol = 1001
	countBytes     = 8
)

var errForeign = errors.New("neither the zip nor the legacy format of torch.save")

// legacySource knows where in the file the elements of each storage begin.
type legacySource struct {
	file    io.ReaderAt
	offsets map[string]int64
}

// loadLegacy reads five pickles: magic number, protocol version, a description of the
// machine, the state dict and the keys of its storages. In that order follow the
// storages, each behind its number of elements.
func loadLegacy(file io.ReaderAt, size int64) (named []*view, from source, err error) {
	head := make([]byte, min(size, 2*maxPickle)) // each pickle is bounded by itself
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), head); err != nil {
		return nil, nil, err
	}
	u := unpickler{storages: make(map[string]*storage)}
	at := 0
	next := func() (any, error) {
		value, length, err := u.load(head[at:])
		at += length
		return value, err
	}
	magic, err := next()
	if number, ok := magic.(*big.Int); err != nil || !ok || number.Text(16) != legacyMagic {
		return nil, nil, errForeign
	}
	if version, err := next(); err != nil || version != legacyProtocol {
		return nil, nil, fmt.Errorf("legacy format without protocol version %d", legacyProtocol)
	}
	machine, err := next()
	if err != nil {
		return nil, nil, fmt.Errorf("description of the machine: %w", err)
	}
	if dict, ok := machine.(*types.Dict); ok {
		if little, _ := dict.Get("little_endian"); little == false {
			return nil, nil, errBigEndian
		}
	}
	root, err := next()
	if err != nil {
		return nil, nil, fmt.Errorf("state dict: %w", err)
	}
	if named, err = views(root); err != nil {
		return nil, nil, err
	}
	keys, err := next()
	if err != nil {
		return nil, nil, fmt.Errorf("storage keys: %w", err)
	}
	offsets, err := u.locate(keys, file, int64(at), size)
	if err != nil {
		return nil, nil, err
	}
	return named, &legacySource{file: file, offsets: offsets}, nil
}

// locate walks over the storages from a byte of the file to its end.
func (u *unpickler) locate(keys any, file io.ReaderAt, at, size int64) (map[string]int64, error) {
	list, ok := keys.(*types.List)
	if !ok {
		return nil, errors.New("list of storage keys is missing")
	}
	offsets := make(map[string]int64, len(*list))
	for _, value := range *list {
		key, _ := value.(string)
		s, known := u.storages[key]
		if !known {
			return nil, fmt.Errorf("storage %q belongs to no tensor", key)
		}
		var count [countBytes]byte
		if _, err := file.ReadAt(count[:], at); err != nil {
			return nil, fmt.Errorf("storage %q: the file is cut short: %w", key, err)
		}
		if stored := binary.LittleEndian.Uint64(count[:]); stored != uint64(s.count) {
			return nil, fmt.Errorf("storage %q has %d elements, want %d", key, stored, s.count)
		}
		at += countBytes
		if s.count > size || s.bytes() > size-at {
			return nil, fmt.Errorf("storage %q: the file is cut short", key)
		}
		offsets[key] = at
		at += s.bytes()
	}
	if at < size {
		return nil, fmt.Errorf("%d bytes behind the last storage", size-at)
	}
	return offsets, nil
}

func (l *legacySource) open(s *storage) (io.ReadCloser, error) {
	at, exists := l.offsets[s.key]
	if !exists {
		return nil, errors.New("not in the file")
	}
	return io.NopCloser(io.NewSectionReader(l.file, at, s.bytes())), nil
}
