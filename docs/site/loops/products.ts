// Products of matrices for NumPy in the browser, four float32 or two float64 at a time.
//
// NumPy there has no BLAS, and its own loop takes one number after the other. This one computes
// blocks of c = a b, four rows times two vectors, in registers; a strip of b is packed first, so
// that the loop reads it in order. (K. Goto and R. van de Geijn 2008, "Anatomy of high-performance
// matrix multiplication", with one level of their blocks.)
//
// The arguments are those of an inner loop of NumPy's `matmul`. args: the addresses of a, b, c;
// dimensions: how many products, and m, n, p of (m, n) by (n, p); steps, in bytes: from one product
// to the next of a, b, c, and then from row to row and column to column of a, b, c.

const DEEP = 256; // rows of b that are packed at a time

/** The bytes that a packed strip needs: DEEP rows of two vectors, and one more row. */
export function stripBytes(): i32 {
  return DEEP * 32 + 32;
}

let strip: usize = 0;

/** Take the memory for the strip; call it once, before the first product. */
export function useStrip(address: usize): void {
  strip = address;
}

/** A number of a list of NumPy's: an address, a size or a step. */
// @ts-ignore: decorator
@inline export function at(list: usize, k: i32): usize {
  return <usize>load<i32>(list + 4 * k);
}

function products<T>(args: usize, dimensions: usize, steps: usize): void {
  const count = <i32>at(dimensions, 0);
  const m = <i32>at(dimensions, 1), n = <i32>at(dimensions, 2), p = <i32>at(dimensions, 3);
  let a = at(args, 0), b = at(args, 1), c = at(args, 2);
  for (let k = 0; k < count; k++) {
    product<T>(a, b, c, m, n, p, steps + 12);
    a += at(steps, 0);
    b += at(steps, 1);
    c += at(steps, 2);
  }
}

function product<T>(
  a: usize, b: usize, c: usize, m: i32, n: i32, p: i32, strides: usize,
): void {
  const size = <i32>sizeof<T>();
  const lanes = 16 / size, width = 2 * lanes;
  const aRow = at(strides, 0), aColumn = at(strides, 1);
  const bRow = at(strides, 2), bColumn = at(strides, 3);
  const cRow = at(strides, 4), cColumn = at(strides, 5);
  if (n == 0) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < p; j++) store<T>(c + <usize>i * cRow + <usize>j * cColumn, <T>0);
    }
  }
  for (let first = 0; first < n; first += DEEP) {
    const deep = min(DEEP, n - first);
    for (let j = 0; j < p; j += width) {
      const columns = min(width, p - j);
      pack<T>(b + <usize>first * bRow + <usize>j * bColumn, bRow, bColumn, deep, columns, width);
      const aStart = a + <usize>first * aColumn;
      let i = 0;
      for (; i < m; i += 4) {
        const rows = min(4, m - i);
        block<T>(
          aStart + <usize>i * aRow, rows, aRow, aColumn, deep,
          c + <usize>i * cRow + <usize>j * cColumn, cRow, cColumn, columns, first > 0,
        );
      }
    }
  }
}

function pack<T>(
  b: usize, bRow: usize, bColumn: usize, deep: i32, columns: i32, width: i32,
): void {
  let to = strip;
  for (let k = 0; k < deep; k++) {
    let from = b;
    let j = 0;
    for (; j < columns; j++) {
      store<T>(to, load<T>(from));
      from += bColumn;
      to += sizeof<T>();
    }
    for (; j < width; j++) {
      store<T>(to, <T>0);
      to += sizeof<T>();
    }
    b += bRow;
  }
}

// @ts-ignore: decorator
@inline function spread<T>(address: usize): v128 {
  return sizeof<T>() == 4 ? v128.load32_splat(address) : v128.load64_splat(address);
}

/** c = the products of up to four rows of a with the strip, or added to c if `more`. */
function block<T>(
  a: usize, rows: i32, aRow: usize, aColumn: usize, deep: i32,
  c: usize, cRow: usize, cColumn: usize, columns: i32, more: bool,
): void {
  // rows that do not exist are computed as copies of the last, and not stored
  let a0 = a;
  let a1 = rows > 1 ? a0 + aRow : a0;
  let a2 = rows > 2 ? a1 + aRow : a1;
  let a3 = rows > 3 ? a2 + aRow : a2;
  let c00 = v128.splat<T>(<T>0), c01 = c00, c10 = c00, c11 = c00;
  let c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  let from = strip;
  for (let k = 0; k < deep; k++) {
    const b0 = v128.load(from), b1 = v128.load(from, 16);
    let x = spread<T>(a0);
    c00 = v128.add<T>(c00, v128.mul<T>(x, b0));
    c01 = v128.add<T>(c01, v128.mul<T>(x, b1));
    x = spread<T>(a1);
    c10 = v128.add<T>(c10, v128.mul<T>(x, b0));
    c11 = v128.add<T>(c11, v128.mul<T>(x, b1));
    x = spread<T>(a2);
    c20 = v128.add<T>(c20, v128.mul<T>(x, b0));
    c21 = v128.add<T>(c21, v128.mul<T>(x, b1));
    x = spread<T>(a3);
    c30 = v128.add<T>(c30, v128.mul<T>(x, b0));
    c31 = v128.add<T>(c31, v128.mul<T>(x, b1));
    a0 += aColumn; a1 += aColumn; a2 += aColumn; a3 += aColumn;
    from += 32;
  }
  keep<T>(c, cColumn, columns, c00, c01, more);
  if (rows > 1) keep<T>(c + cRow, cColumn, columns, c10, c11, more);
  if (rows > 2) keep<T>(c + 2 * cRow, cColumn, columns, c20, c21, more);
  if (rows > 3) keep<T>(c + 3 * cRow, cColumn, columns, c30, c31, more);
}

function keep<T>(
  c: usize, cColumn: usize, columns: i32, x: v128, y: v128, more: bool,
): void {
  const size = <i32>sizeof<T>();
  if (columns * size == 32 && cColumn == sizeof<T>()) {
    if (more) {
      x = v128.add<T>(x, v128.load(c));
      y = v128.add<T>(y, v128.load(c, 16));
    }
    v128.store(c, x);
    v128.store(c, y, 16);
    return;
  }
  const rest = strip + DEEP * 32; // the one row more
  v128.store(rest, x);
  v128.store(rest, y, 16);
  for (let j = 0; j < columns; j++) {
    const value = load<T>(rest + j * size);
    store<T>(c, more ? load<T>(c) + value : value);
    c += cColumn;
  }
}

/** The inner loop of `matmul` for float32. */
export function productsFloat32(args: usize, dimensions: usize, steps: usize, data: usize): void {
  products<f32>(args, dimensions, steps);
}

/** The inner loop of `matmul` for float64. */
export function productsFloat64(args: usize, dimensions: usize, steps: usize, data: usize): void {
  products<f64>(args, dimensions, steps);
}
