/** The version of this package, as it stands in package.json and in the User-Agent. */
export const VERSION = "0.1.0";
