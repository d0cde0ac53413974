//! What makes a configuration of a table of variables.

/// Makes `Config`, a struct for each section, and how all of it is read, row by row in the order of the table.
macro_rules! variables {
    ($(
        #[doc = $about:literal]
        $section:ident: $Section:ident {$(
            $(#[doc = $sentence:literal])+
            $field:ident: $type:ty = $name:literal, $default:literal, $parse:expr;
            $(check $rule:expr;)?
        )+}
    )+) => {
        /// Everything that an operator may choose, in sections. `Debug` shows no secret.
        #[derive(Clone, Debug)]
        pub struct Config {$(
            #[doc = $about]
            pub $section: $Section,
        )+}

        $(
            #[doc = $about]
            #[derive(Clone, Debug)]
            pub struct $Section {$(
                #[doc = concat!("`", $name, "`:")]
                $(#[doc = $sentence])+
                pub $field: $type,
            )+}
        )+

        impl Config {
            fn read(env: &mut Reader) -> Result<Self, Refusal> {
                $(
                    $(
                        let $field = env.value($name, $default, $parse)?;
                        $($rule?;)?
                    )+
                    let $section = $Section { $($field),+ };
                )+
                env.refuse_strangers()?;
                Ok(Self { $($section),+ })
            }
        }

        /// Every variable, in the order of the table.
        const NAMES: &[&str] = &[$($($name),+),+];

        /// The table as it explains itself.
        #[cfg(test)]
        const SECTIONS: &[reference::Section] = &[$(reference::Section {
            about: $about,
            variables: &[$(reference::Variable {
                name: $name,
                default: $default,
                sentence: &[$($sentence),+],
            }),+],
        }),+];
    };
}
