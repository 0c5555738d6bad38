// exp, tanh and the square root of float32 arrays for NumPy in the browser, four numbers at a time.
//
// The polynomials are those of S. Moshier's Cephes library (expf.c and tanhf.c, 1992).
//
// The arguments are those of an inner loop of a function of one array. args: the addresses of x and
// y; dimensions: how many numbers; steps, in bytes, from one number to the next of x and of y.

import { at } from "./products";

const EXP = 0, TANH = 1, SQRT = 2;

// @ts-ignore: decorator
@inline function all(x: f32): v128 {
  return f32x4.splat(x);
}

// @ts-ignore: decorator
@inline function timesPlus(a: v128, b: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(a, b), all(c));
}

/** 2 to the power of whole numbers from -126 to 127: they become the exponents of the format. */
// @ts-ignore: decorator
@inline function powerOfTwo(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23);
}

/** e^x = 2^n e^r, where n is x / log 2 to the nearest whole number, and r what is left. */
function exp(x: v128): v128 {
  x = f32x4.max(f32x4.min(x, all(89)), all(-104)); // from there on e^x is infinity, or 0
  const whole = f32x4.nearest(f32x4.mul(x, all(1.44269504088896341)));
  let r = f32x4.sub(x, f32x4.mul(whole, all(0.693359375)));
  r = f32x4.add(r, f32x4.mul(whole, all(2.12194440e-4))); // log 2 in two parts, the first exact
  let y = all(1.9875691500e-4);
  y = timesPlus(y, r, 1.3981999507e-3);
  y = timesPlus(y, r, 8.3334519073e-3);
  y = timesPlus(y, r, 4.1665795894e-2);
  y = timesPlus(y, r, 1.6666665459e-1);
  y = timesPlus(y, r, 5.0000001201e-1);
  y = f32x4.add(f32x4.mul(y, f32x4.mul(r, r)), r);
  y = f32x4.add(y, all(1));
  const n = i32x4.trunc_sat_f32x4_s(whole), half = i32x4.shr_s(n, 1);
  y = f32x4.mul(y, powerOfTwo(half)); // in two steps, as 2^n may be too large or small for float32
  return f32x4.mul(y, powerOfTwo(i32x4.sub(n, half)));
}

/** tanh |x| with the sign of x: near 0 by a polynomial, elsewhere 1 - 2 / (e^2|x| + 1). */
function tanh(x: v128): v128 {
  const size = f32x4.abs(x), square = f32x4.mul(x, x);
  let near = all(-5.70498872745e-3);
  near = timesPlus(near, square, 2.06390887954e-2);
  near = timesPlus(near, square, -5.37397155531e-2);
  near = timesPlus(near, square, 1.33314422036e-1);
  near = timesPlus(near, square, -3.33332819422e-1);
  near = f32x4.add(size, f32x4.mul(f32x4.mul(near, square), size));
  const one = all(1);
  const power = exp(f32x4.add(size, size));
  const far = f32x4.sub(one, f32x4.div(all(2), f32x4.add(power, one)));
  const y = v128.bitselect(near, far, f32x4.lt(size, all(0.625)));
  return v128.or(y, v128.and(x, i32x4.splat(0x80000000)));
}

// @ts-ignore: decorator
@inline function apply(which: i32, x: v128): v128 {
  return which == EXP ? exp(x) : which == TANH ? tanh(x) : f32x4.sqrt(x);
}

// @ts-ignore: decorator
@inline function loop(which: i32, args: usize, dimensions: usize, steps: usize): void {
  let x = at(args, 0), y = at(args, 1);
  const xStep = at(steps, 0), yStep = at(steps, 1);
  let left = <i32>at(dimensions, 0);
  if (xStep == 4 && yStep == 4) {
    for (; left >= 4; left -= 4) {
      v128.store(y, apply(which, v128.load(x)));
      x += 16;
      y += 16;
    }
  }
  for (; left > 0; left--) {
    store<f32>(y, f32x4.extract_lane(apply(which, v128.load32_splat(x)), 0));
    x += xStep;
    y += yStep;
  }
}

/** The inner loop of `exp` for float32. */
export function expFloat32(args: usize, dimensions: usize, steps: usize, data: usize): void {
  loop(EXP, args, dimensions, steps);
}

/** The inner loop of `tanh` for float32. */
export function tanhFloat32(args: usize, dimensions: usize, steps: usize, data: usize): void {
  loop(TANH, args, dimensions, steps);
}

/** The inner loop of `sqrt` for float32. */
export function sqrtFloat32(args: usize, dimensions: usize, steps: usize, data: usize): void {
  loop(SQRT, args, dimensions, steps);
}
