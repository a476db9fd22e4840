/** The version of this package. A test holds it against package.json; reading that file would cost every start 1 ms. */
export const version = '0.1.0'
